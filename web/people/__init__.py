"""People: roles and their rights, host sessions, invitations, entering a room."""
