"""Recording control, and the list, replay and removal of recordings."""
