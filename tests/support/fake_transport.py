"""A transport that records what a session asks of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfu.downlink import Step, Wish
from sfu.ice import IceCandidate, IceParameters
from sfu.ids import EncodingSpec, Layers, Payload

SDP_DIR = Path(__file__).parent.parent / "data" / "sdp"
CANDIDATES = (
    IceCandidate("udp", "192.0.2.1", 7882, 2130706431),
    IceCandidate("tcp", "192.0.2.1", 7881, 1671430143),
)
DIGEST = ":".join(["AB"] * 32)


def read_sdp(name: str) -> str:
    """A fixture of tests/data/sdp, line ends as they were."""
    return (SDP_DIR / f"{name}.sdp").read_bytes().decode()


@dataclass(eq=False)
class FakeSource:
    is_audio: bool = False
    mid: str = ""
    encodings: tuple[EncodingSpec, ...] = ()
    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True


@dataclass(eq=False)
class FakeSink:
    source: FakeSource
    ssrc: int
    rtx_ssrc: int
    mid: str
    payloads: list[Payload]
    layers: Layers
    wish: Wish | None = None
    on_granted: Callable[[Layers], None] | None = None
    is_closed: bool = False

    def __post_init__(self) -> None:
        if self.wish is not None:
            self.layers = self.wish.layers

    def set_wish(self, wish: Wish) -> None:
        """Grants all of it, as a strong line does."""
        self.wish = wish
        self.grant(wish.layers)

    def grant(self, layers: Layers) -> None:
        self.layers = layers
        if self.on_granted is not None:
            self.on_granted(layers)

    def set_layers(self, spatial: int, temporal: int, paused: bool) -> None:
        self.layers = Layers(spatial, temporal, paused)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeData:
    starts: list[dict[str, int]] = field(default_factory=list)

    def start(self, **arguments: int) -> None:
        self.starts.append(arguments)


class FakeTransport:
    """Stands in for `sfu.transport.Transport`."""

    def __init__(self) -> None:
        self.ice = IceParameters("ufrag0", "p" * 24)
        self.fingerprint = f"sha-256 {DIGEST}"
        self.data = FakeData()
        self.remotes: list[dict[str, Any]] = []
        self.media: list[tuple[dict[str, int], list[Payload]]] = []
        self.sources: list[FakeSource] = []
        self.sinks: list[FakeSink] = []
        self.restarts = 0
        self.is_closed = False
        self.state = "new"
        self.on_state: Callable[[str], None] | None = None
        self.on_step: Callable[[Step, str], None] | None = None
        self.person = ""
        self.is_cellular = False

    def set_remote(self, **remote: Any) -> None:
        self.remotes.append(remote)

    def restart_ice(self) -> IceParameters:
        self.restarts += 1
        self.ice = IceParameters(f"ufrag{self.restarts}", "q" * 24)
        return self.ice

    def set_media(self, extensions: dict[str, int], payloads: list[Payload]) -> None:
        self.media.append((extensions, payloads))

    def add_source(
        self, *, mid: str, is_audio: bool, encodings: Sequence[EncodingSpec]
    ) -> FakeSource:
        self.sources.append(FakeSource(is_audio, mid, tuple(encodings)))
        return self.sources[-1]

    def add_sink(self, source: FakeSource, **arguments: Any) -> FakeSink:
        self.sinks.append(FakeSink(source, **arguments))
        return self.sinks[-1]

    async def close(self) -> None:
        self.is_closed = True
