"""Stills: a small sharp picture of a source every few seconds, for lines too weak for video."""

from sfu.stills.feed import Still
from sfu.stills.stills import Stills, Watch, has_stills

__all__ = ["Still", "Stills", "Watch", "has_stills"]
