"""What every HTTP route shares: problems, request bodies, limits, headers."""
