"""The server API over Twirp."""
