"""For those who run the server: logs, metrics, health, certificates."""
