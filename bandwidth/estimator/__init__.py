"""What each subscriber's line carries: an estimator over all lines at once."""

from .api import Estimates, Feedback, Lines, ProbeOrder
from .constants import DEFAULTS, Constants
from .estimator import Estimator

__all__ = [
    "DEFAULTS",
    "Constants",
    "Estimates",
    "Estimator",
    "Feedback",
    "Lines",
    "ProbeOrder",
]
