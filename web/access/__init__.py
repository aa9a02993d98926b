"""Who is a host: sessions and token grants."""
