"""Store cameras: kept sealed, pulled while watched."""
