"""What lines of people carried a short time ago, so that who comes back need not start low."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["Known", "LineMemory", "network_of"]

_MAX_AGE_US = 600_000_000
_MAX_LINES = 10_000
# As the estimator's own memory (`good_half_life_s`): who leaves in the middle of a cliff of 20 s is
# known by 80 % of what was before it; who stays for minutes on a line that became narrow, by that.
_HALF_LIFE_US = 60_000_000


@dataclass(frozen=True)
class Known:
    """What a line carried.

    Attributes:
        last_bps: the last estimate: what is safe to begin with.
        good_bps: the best one, fading with time: what is worth a try at once.
        at_us: when.
    """

    last_bps: int
    good_bps: int
    at_us: int

    def faded_bps(self, now_us: int) -> int:
        """How much of the best counts by now."""
        return int(self.good_bps * 0.5 ** (max(0, now_us - self.at_us) / _HALF_LIFE_US))


def network_of(ip: str) -> str:
    """The network that an address belongs to: /24, or /48 of IPv6; empty for no address."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    prefix = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, prefix), strict=False))


class LineMemory:
    """Estimates by person and network, for ten minutes; of the newest lines only."""

    def __init__(self, *, max_lines: int = _MAX_LINES) -> None:
        """Remembers nothing yet."""
        self._max_lines = max_lines
        self._lines: OrderedDict[tuple[str, str], Known] = OrderedDict()

    def __len__(self) -> int:
        """How many lines are remembered."""
        return len(self._lines)

    def remember(self, person: str, network: str, rate_bps: int, now_us: int) -> None:
        """Keep what a line carries; without a person or a network nothing is kept."""
        if not person or not network or rate_bps <= 0:
            return
        key = (person, network)
        before = self._lines.get(key)
        good_bps = max(rate_bps, 0 if before is None else before.faded_bps(now_us))
        self._lines[key] = Known(rate_bps, good_bps, now_us)
        self._lines.move_to_end(key)
        while len(self._lines) > self._max_lines:
            self._lines.popitem(last=False)

    def recall(self, person: str, network: str, now_us: int) -> Known | None:
        """What the line carried, if that is not long ago."""
        found = self._lines.get((person, network))
        if found is None or now_us - found.at_us > _MAX_AGE_US:
            return None
        return found
