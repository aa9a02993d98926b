"""Recording: tap to crash-safe segments to one playable file, and the list of what there is."""
