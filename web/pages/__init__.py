"""The pages: server-rendered HTML, message catalogues and static files."""
