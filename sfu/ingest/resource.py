"""What WHIP and WHEP share: a resource is one session, set up once and then only patched."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.codecs import CodecPolicy
from sfu.errors import SfuError
from sfu.ingest.sdpfrag import format_fragment, parse_fragment
from sfu.session import Session

if TYPE_CHECKING:
    from sfu.ice import IceCandidate
    from sfu.transport import Transport, TransportState


class PatchError(SfuError):
    """A PATCH that does not fit the session: `patch_needs_etag` or `patch_stale`."""


@dataclass(frozen=True, slots=True)
class Patched:
    """The result of a PATCH.

    Attributes:
        fragment: to send back after an ICE restart; empty where there is nothing to say.
        etag: of the ICE session now.
    """

    fragment: str
    etag: str


class HttpSession:
    """A transport and its session behind one HTTP resource (RFC 9725 §4.2).

    Inputs: the offer (once), patches, `close`. `on_connected` is called at each change to
    connected, `on_ended` once, when the peer is gone or `close` was called; then the resource is
    to be forgotten.
    """

    def __init__(
        self,
        transport: Transport,
        candidates: Sequence[IceCandidate],
        *,
        policy: CodecPolicy | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Takes a fresh transport, which it owns from now on."""
        self.transport = transport
        self.session = Session(transport, candidates, policy=policy, rng=rng)
        self.on_connected: Callable[[], None] | None = None
        self.on_ended: Callable[[], None] | None = None
        self._candidates = tuple(candidate.to_sdp() for candidate in candidates)
        self._is_ended = False
        transport.on_state = self._handle_state

    @property
    def etag(self) -> str:
        """Names the current ICE session, quoted as in HTTP."""
        return f'"{self.transport.ice.ufrag}"'

    def handle_patch(self, body: str, if_match: str | None) -> Patched:
        """Takes a trickle or restart fragment (RFC 9725 §4.3).

        Candidates are read and not needed. Other credentials than before are an ICE restart, which
        changes nothing else.

        Raises:
            SdpError: the fragment is malformed.
            PatchError: `if_match` is absent, or names an older ICE session.
        """
        fragment = parse_fragment(body)
        if not if_match:
            raise PatchError("patch_needs_etag", "If-Match is required")
        known = [tag.strip() for tag in if_match.split(",")]
        if "*" not in known and self.etag not in known:
            raise PatchError("patch_stale", "the ICE session is another one by now")
        if not fragment.ufrag or fragment.ufrag == self.session.remote_ufrag:
            return Patched("", self.etag)
        ice = self.session.restart_ice(fragment.ufrag, fragment.pwd)
        text = format_fragment(*ice, mid=self.session.first_mid, candidates=self._candidates)
        return Patched(text, self.etag)

    async def close(self) -> None:
        """Ends media and transport; idempotent."""
        self._end()
        self.session.close()
        await self.transport.close()

    def _handle_state(self, state: TransportState) -> None:
        if state == "connected" and self.on_connected is not None:
            self.on_connected()
        elif state in ("failed", "closed"):
            self._end()

    def _end(self) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        if self.on_ended is not None:
            self.on_ended()
