"""LiveKit signaling over WebSocket: upgrade, framing, flow control."""
