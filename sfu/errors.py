"""What goes wrong in the media side, each with a stable code.

    SfuError
    ├── ConfigError       a setting cannot work (``config_…``)
    ├── MediaClosedError  used after close (``media_closed``)
    └── CameraError       a fixed camera gives no picture (``camera_…``)

What a remote peer sends wrongly is never an exception here: it is counted and dropped.
"""

from __future__ import annotations

__all__ = ["CameraError", "ConfigError", "MediaClosedError", "SfuError"]


class SfuError(Exception):
    """Base of this package's exceptions.

    Args:
        code: stable, snake case, part of the API.
        message: plain words for people; never holds a secret.
    """

    def __init__(self, code: str, message: str) -> None:
        """Keeps both for whoever shows them."""
        super().__init__(message)
        self.code = code
        self.message = message


class ConfigError(SfuError):
    """A setting that cannot work."""


class MediaClosedError(SfuError):
    """A transport, source or server was used after its end."""

    def __init__(self, what: str) -> None:
        """Names what was closed."""
        super().__init__("media_closed", f"the {what} is closed")


class CameraError(SfuError):
    """A camera that cannot be shown, and why."""
