"""What can be set: options from flags, environment and file; secrets kept in the data directory."""
