"""The composition root: command line, HTTP, pages, metrics."""
