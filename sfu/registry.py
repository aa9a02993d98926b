"""What the parts of one media server share: engine, settings, and who holds which handle."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.config import MediaConfig
from sfu.stats import Counters

if TYPE_CHECKING:
    from sfu.downlink import Downlink
    from sfu.dtls import DtlsIdentity
    from sfu.engine import Engine
    from sfu.source import Sink, Source
    from sfu.tap import Tap
    from sfu.thin import ThinVersions
    from sfu.transport import Transport

__all__ = ["Registry"]


@dataclass(slots=True, eq=False)
class Registry:
    """Owned by the media server; an object adds itself when made, removes itself when closed."""

    engine: Engine
    config: MediaConfig
    identity: DtlsIdentity
    counters: Counters = field(default_factory=Counters)
    transports: dict[int, Transport] = field(default_factory=dict)
    sources: dict[int, Source] = field(default_factory=dict)
    sinks: dict[int, Sink] = field(default_factory=dict)
    taps: dict[int, Tap] = field(default_factory=dict)
    group_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    downlink: Downlink | None = None  # None: wishes are granted as they are
    thin: ThinVersions | None = None
