"""What each subscriber's line carries, and who gets which layer of what within it."""

from bandwidth.ladder import Step
from sfu.downlink.config import DownlinkConfig
from sfu.downlink.line_room import LineRoom
from sfu.downlink.loop import Downlink
from sfu.downlink.wish import Kind, Wish

__all__ = ["Downlink", "DownlinkConfig", "Kind", "LineRoom", "Step", "Wish"]
