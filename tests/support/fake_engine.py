"""An engine that only remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from sfu.config import MediaConfig
from sfu.dtls import DtlsIdentity
from sfu.engine import Engine
from sfu.ids import EncodingSpec
from sfu.local import LocalSource
from sfu.registry import Registry

Call = tuple[object, ...]


class FakeEngine:
    """Hands out handles and records every order as (name, arguments…)."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.frames: list[tuple[int, int, int, int, bytes]] = []
        self.tapped: list[Call] = []
        self._handle = 0

    def named(self, name: str) -> list[Call]:
        return [call[1:] for call in self.calls if call[0] == name]

    def push_frame(self, source: int, encoding: int, codec: int, ts_rtp: int, data: bytes) -> None:
        self.frames.append((source, encoding, codec, ts_rtp, data))

    def drain_tap(self, tap: int, max_frames: int = 1000) -> list[Call]:
        taken, self.tapped = self.tapped[:max_frames], self.tapped[max_frames:]
        return taken

    def __getattr__(self, name: str) -> Callable[..., int | None]:
        def call(*arguments: object) -> int | None:
            self.calls.append((name, *arguments))
            if name.startswith("add_"):
                self._handle += 1
                return self._handle
            return None

        return call


def make_registry(
    engine: FakeEngine, identity: DtlsIdentity | None = None, config: MediaConfig | None = None
) -> Registry:
    return Registry(
        cast(Engine, engine), config or MediaConfig(), identity or cast(DtlsIdentity, _NO_IDENTITY)
    )


class _NoIdentity:
    fingerprint = "sha-256 00"


_NO_IDENTITY = _NoIdentity()


class FakeSources:
    """Makes local sources whose frames end in ``engine.frames``."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.registry = make_registry(self.engine)

    def create_local_source(
        self,
        *,
        is_audio: bool,
        label: str,
        encodings: Sequence[EncodingSpec] = (EncodingSpec(),),
    ) -> LocalSource:
        return LocalSource(
            self.registry, is_audio=is_audio, label=label, encodings=tuple(encodings)
        )
