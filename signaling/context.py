"""What every part of signaling needs: surroundings, settings, counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from signaling.clock import Clock
from signaling.config import SignalingConfig
from signaling.hooks import Hooks
from signaling.ids import SidMaker
from signaling.tokens import TokenKeys

if TYPE_CHECKING:
    from livekit.protocol.webhook import WebhookEvent

    from sfu.server import MediaServer
    from signaling.stills import StillSender

__all__ = ["Context"]


@dataclass
class Context:
    """Shared by all rooms of a service; made once."""

    media: MediaServer
    config: SignalingConfig
    clock: Clock
    sids: SidMaker
    keys: TokenKeys
    on_webhook: Callable[[WebhookEvent], None]
    stills: StillSender
    hooks: Hooks = field(default_factory=Hooks)
    counters: Counter[str] = field(default_factory=Counter)
