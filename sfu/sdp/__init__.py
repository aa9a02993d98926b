"""Session descriptions: parsed into a typed model, and written from it."""

from sfu.sdp.description import SessionDescription
from sfu.sdp.errors import SdpError
from sfu.sdp.parse import parse_sdp

__all__ = ["SdpError", "SessionDescription", "parse_sdp"]
