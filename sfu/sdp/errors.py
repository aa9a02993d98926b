"""What is wrong with a session description."""

from __future__ import annotations

from sfu.errors import SfuError


class SdpError(SfuError):
    """A session description that cannot be used; `code` starts with `sdp_`."""
