"""Rooms, people and rights, spoken in the LiveKit client protocol; bytes in, messages out."""
