"""Makes playable files from segments, in a process of its own: ``python -m recorder.finish``."""
