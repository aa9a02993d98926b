"""Media that enters or leaves without the LiveKit protocol: WHIP, WHEP and RTSP cameras."""
