"""The selective-forwarding server: sessions, routing and media sources over the packet engine."""
