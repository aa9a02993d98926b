"""Offers and answers of one peer connection, one at a time.

Two kinds exist. With `ClientOffers` (a publisher's connection, and the only one in single mode)
the client alone may offer; when something waits for it we ask for an offer with
media_sections_requirement. With `ServerOffers` (a subscriber's connection in dual mode) only we
offer. So offers never cross on the same connection; they only have to queue.

Both: inputs are `request()`, the peer's descriptions and timers; outputs the `send_…` callables.
`on_stuck` is called once when the peer leaves us waiting for `answer_s`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from livekit.protocol import rtc

from signaling.clock import Clock, Timer
from signaling.config import Timeouts

if TYPE_CHECKING:
    from sfu.session import ClaimTrack, Session

__all__ = ["ClientOffers", "ServerOffers"]

# While a client has not delivered what we asked for, ask again after these pauses.
_FIRST_REPEAT_S = 1.0
_MAX_REPEAT_S = 5.0


class ClientOffers:
    """The client offers, we answer at once."""

    def __init__(
        self,
        session: Session,
        *,
        clock: Clock,
        timeouts: Timeouts,
        send_requirement: Callable[[rtc.MediaSectionsRequirement], None] | None,
        on_stuck: Callable[[], None],
    ) -> None:
        """`send_requirement` is None where nothing is ever sent to the client."""
        self.session = session
        self._clock = clock
        self._timeouts = timeouts
        self._send_requirement = send_requirement
        self._on_stuck = on_stuck
        self._request_timer: Timer | None = None
        self._repeat_timer: Timer | None = None
        self._stuck_timer: Timer | None = None
        self._repeat_s = _FIRST_REPEAT_S
        self._asked: tuple[int, int] | None = None
        self._is_paused = False
        self._is_closed = False

    def handle_offer(self, sdp: str, claim: ClaimTrack) -> str:
        """Answers an offer. Raises SdpError."""
        answer = self.session.handle_offer(sdp, claim)
        self._asked = None
        self._cancel_stuck()
        if self.session.has_pending:
            self._ask_again_later()
        else:
            self._cancel_repeat()
            self._repeat_s = _FIRST_REPEAT_S
        return answer

    def limit_layers(self, mid: str, count: int) -> bool:
        """Says how many layers of a track the client may send, lowest first; 0 = all.

        Returns whether it has been told, which takes an offer of its own. One that we cannot ask
        for offers (dual mode) is told whenever it makes one.
        """
        self.session.limit_layers(mid, count)
        if self.session.told_layers(mid) == count:
            return True
        self.request()
        return False

    def add_red(self, mid: str) -> None:
        """Has the client send a sound with redundancy, which takes an offer of its own."""
        self.session.add_red(mid)
        if self.session.has_pending:
            self.request()

    def request(self) -> None:
        """Something waits for a negotiation. Cheap, idempotent, coalesced."""
        if self._send_requirement is None or self._is_closed or self._request_timer is not None:
            return
        delay_s = self._timeouts.negotiation_delay_s
        self._request_timer = self._clock.call_later(delay_s, self._ask)

    def _ask(self) -> None:
        self._request_timer = None
        if self._is_closed or self._is_paused or not self.session.has_pending:
            return
        assert self._send_requirement is not None, "nothing is scheduled without it"
        needed = self.session.needs_sections()
        if self._asked is not None and needed <= self._asked:
            return  # the offer under way will do
        asked = self._asked or (0, 0)
        # Numbers are additional sections; those of an unanswered request are being added already.
        extra = (max(0, needed[0] - asked[0]), max(0, needed[1] - asked[1]))
        self._asked = (asked[0] + extra[0], asked[1] + extra[1])
        self._send_requirement(
            rtc.MediaSectionsRequirement(num_audios=extra[0], num_videos=extra[1])
        )
        if self._stuck_timer is None:
            self._stuck_timer = self._clock.call_later(self._timeouts.answer_s, self._give_up)

    def _ask_again_later(self) -> None:
        """The offer did not bring what waits: it was made before our request arrived, or the
        client cannot give it. So never at once, which could become a loop."""
        if self._repeat_timer is None and self._send_requirement is not None:
            self._repeat_timer = self._clock.call_later(self._repeat_s, self._repeat)
            self._repeat_s = min(self._repeat_s * 2, _MAX_REPEAT_S)

    def _repeat(self) -> None:
        self._repeat_timer = None
        self._ask()

    def _give_up(self) -> None:
        self._stuck_timer = None
        if not self._is_closed:
            self._on_stuck()

    def _cancel_stuck(self) -> None:
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def _cancel_repeat(self) -> None:
        if self._repeat_timer is not None:
            self._repeat_timer.cancel()
            self._repeat_timer = None

    def handle_resumed(self) -> None:
        """The client comes back and may have missed our request."""
        self._is_paused = False
        self._asked = None
        self._cancel_stuck()
        self._cancel_repeat()
        self.request()

    def pause(self) -> None:
        """Nobody can answer: the WebSocket is gone."""
        self._is_paused = True
        self._asked = None
        self._cancel_stuck()
        self._cancel_repeat()

    def close(self) -> None:
        """Stops all timers."""
        self._is_closed = True
        self._cancel_stuck()
        self._cancel_repeat()
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None


class ServerOffers:
    """We offer, the client answers."""

    def __init__(
        self,
        session: Session,
        *,
        clock: Clock,
        timeouts: Timeouts,
        counters: Counter[str],
        send_offer: Callable[[rtc.SessionDescription], None],
        on_stuck: Callable[[], None],
    ) -> None:
        """Sends nothing before `start` or `request`."""
        self.session = session
        self._clock = clock
        self._timeouts = timeouts
        self._counters = counters
        self._send_offer = send_offer
        self._on_stuck = on_stuck
        self._offer_id = 0
        self._is_waiting = False
        self._wants_more = False
        self._is_repeating = False
        self._repeat_s = _FIRST_REPEAT_S
        self._restarts_ice = False
        self._is_paused = False
        self._is_closed = False
        self._request_timer: Timer | None = None
        self._stuck_timer: Timer | None = None

    def start(self) -> None:
        """Sends the first offer now."""
        self._offer()

    def request(self) -> None:
        """Something waits for a negotiation. Cheap, idempotent, coalesced."""
        if self._is_waiting:
            self._wants_more = True
        elif self._request_timer is None or self._is_repeating:
            self._schedule(self._timeouts.negotiation_delay_s, is_repeating=False)

    def _schedule(self, delay_s: float, *, is_repeating: bool) -> None:
        if self._is_closed or self._is_paused:
            return
        if self._request_timer is not None:
            self._request_timer.cancel()
        self._is_repeating = is_repeating
        self._request_timer = self._clock.call_later(delay_s, self._handle_request)

    def _handle_request(self) -> None:
        self._request_timer = None
        if not self._is_waiting and self.session.has_pending:
            self._offer()

    def _offer(self) -> None:
        if self._is_closed or self._is_paused:
            return
        sdp = self.session.create_offer(ice_restart=self._restarts_ice)
        self._restarts_ice = False
        self._is_waiting = True
        self._wants_more = False
        self._offer_id += 1
        self._cancel_stuck()
        self._stuck_timer = self._clock.call_later(self._timeouts.answer_s, self._give_up)
        self._send_offer(
            rtc.SessionDescription(
                type="offer",
                sdp=sdp,
                id=self._offer_id,
                mid_to_track_id=self.session.mid_to_track_id,
            )
        )

    def handle_answer(self, description: rtc.SessionDescription) -> bool:
        """Takes an answer. Returns False if it answers nothing. Raises SdpError."""
        is_stale = description.id and description.id != self._offer_id
        if not self._is_waiting or is_stale:
            self._counters["answer_unexpected"] += 1
            return False
        self.session.handle_answer(description.sdp)
        self._is_waiting = False
        self._cancel_stuck()
        if not self.session.has_pending:
            self._repeat_s = _FIRST_REPEAT_S
        elif self._wants_more:
            self.request()
        else:
            # It was offered or could not be (no section is free): never at once, which would loop.
            self._schedule(self._repeat_s, is_repeating=True)
            self._repeat_s = min(self._repeat_s * 2, _MAX_REPEAT_S)
        return True

    def _give_up(self) -> None:
        self._stuck_timer = None
        if not self._is_closed and not self._is_paused:
            self._on_stuck()

    def _cancel_stuck(self) -> None:
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def pause(self) -> None:
        """Nobody can answer: the WebSocket is gone."""
        self._is_paused = True
        self._cancel_stuck()

    def handle_resumed(self) -> None:
        """The client is back: offer again, with new ICE credentials. An offer that it may or may
        not have seen is thus replaced."""
        self._is_paused = False
        self._restarts_ice = True
        self.session.withdraw_offer()
        self._offer()

    def close(self) -> None:
        """Stops all timers."""
        self._is_closed = True
        self._cancel_stuck()
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None
