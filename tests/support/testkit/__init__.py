"""Shared test kit: clients, media, rooms."""
