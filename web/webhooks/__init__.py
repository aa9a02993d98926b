"""Delivery of signed events to other systems."""
