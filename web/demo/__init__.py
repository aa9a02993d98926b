"""The demonstration store: drawn and spoken here, so that pictures move at once."""
