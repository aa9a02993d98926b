"""What somebody in a room is, as pages and lists tell it: an attribute that only we set."""

from __future__ import annotations

from typing import Final

KIND_ATTRIBUTE: Final = "kind"
CAMERA_KIND: Final = "camera"
WALK_KIND: Final = "walk"
