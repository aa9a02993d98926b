"""WHIP in and WHEP out: encoders and players that speak HTTP instead of the LiveKit protocol."""
