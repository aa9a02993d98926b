"""What somebody in a room is, as pages and lists tell it: an attribute that only we set."""

from __future__ import annotations

from typing import Final

KIND_ATTRIBUTE: Final = "kind"
CAMERA_KIND: Final = "camera"
CAMERA_PREFIX: Final = f"{CAMERA_KIND}-"
"""Of the identities of cameras: all that a recording keeps of what somebody was."""
WALK_KIND: Final = "walk"
