"""Thin versions: one small slow picture of a source, for lines its lowest layer does not fit."""

from sfu.thin.encoder import THIN_BPS
from sfu.thin.versions import ThinVersions, can_thin

__all__ = ["THIN_BPS", "ThinVersions", "can_thin"]
