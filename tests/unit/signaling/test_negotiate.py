"""The queue of negotiations, over a session that only counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from livekit.protocol import rtc
from manual_clock import ManualClock

from signaling.config import Timeouts
from signaling.negotiate import ClientOffers, ServerOffers

TIMEOUTS = Timeouts()


@dataclass
class CountingSession:
    has_pending: bool = False
    needed: tuple[int, int] = (0, 0)
    mid_to_track_id: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def needs_sections(self) -> tuple[int, int]:
        return self.needed

    def handle_offer(self, sdp: str, claim: object) -> str:
        return "answer"

    def create_offer(self, *, ice_restart: bool = False) -> str:
        self.log.append("restart" if ice_restart else "offer")
        return "offer"

    def handle_answer(self, sdp: str) -> None:
        self.log.append(sdp)

    def withdraw_offer(self) -> None:
        self.log.append("withdraw")


class ClientSide:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.session = CountingSession()
        self.asked: list[tuple[int, int]] = []
        self.stuck = 0
        self.offers = ClientOffers(
            self.session,  # type: ignore[arg-type]
            clock=self.clock,
            timeouts=TIMEOUTS,
            send_requirement=lambda r: self.asked.append((r.num_audios, r.num_videos)),
            on_stuck=self.handle_stuck,
        )

    def handle_stuck(self) -> None:
        self.stuck += 1

    def want(self, audios: int = 0, videos: int = 0) -> None:
        self.session.has_pending = True
        self.session.needed = (audios, videos)
        self.offers.request()
        self.clock.advance(0.02)

    def offer(self, *, settles: bool = True) -> None:
        if settles:
            self.session.has_pending, self.session.needed = False, (0, 0)
        self.offers.handle_offer("offer", lambda offered: None)


def test_many_wishes_of_a_moment_are_one_request() -> None:
    side = ClientSide()
    side.session.has_pending = True
    for _ in range(5):
        side.offers.request()
    side.clock.advance(0.02)
    assert side.asked == [(0, 0)]


def test_a_request_whose_reason_has_gone_is_not_sent() -> None:
    side = ClientSide()
    side.offers.request()
    side.clock.advance(1)
    assert side.asked == []


def test_more_wishes_while_waiting_ask_only_for_what_is_more() -> None:
    side = ClientSide()
    side.want(audios=1)
    side.want(audios=1)
    side.want(audios=2, videos=1)
    assert side.asked == [(1, 0), (1, 1)]
    side.offer()
    side.want()
    assert side.asked[2:] == [(0, 0)]


def test_an_offer_made_before_the_request_arrived_leads_to_another_request() -> None:
    side = ClientSide()
    side.want()
    side.offer(settles=False)
    assert side.asked == [(0, 0)]
    side.clock.advance(1.1)
    assert side.asked == [(0, 0), (0, 0)]


def test_a_client_that_never_settles_is_asked_less_and_less() -> None:
    side = ClientSide()
    side.want()
    for _ in range(600):
        side.offer(settles=False)
        side.clock.advance(0.1)
    assert 10 <= len(side.asked) <= 20 and side.stuck == 0


def test_a_client_that_never_offers_is_reported_once() -> None:
    side = ClientSide()
    side.want()
    side.clock.advance(29.9)
    assert side.stuck == 0
    side.clock.advance(60)
    assert side.stuck == 1


def test_away_nobody_is_asked_and_back_again_is() -> None:
    side = ClientSide()
    side.want()
    side.offers.pause()
    side.want(audios=1)
    side.clock.advance(100)
    assert side.asked == [(0, 0)] and side.stuck == 0
    side.offers.handle_resumed()
    side.clock.advance(0.02)
    assert side.asked[1:] == [(1, 0)]


def test_closed_means_silent() -> None:
    side = ClientSide()
    side.want()
    side.session.has_pending = True
    side.offers.request()
    side.offers.close()
    side.offers.request()
    side.clock.advance(100)
    assert len(side.asked) == 1 and side.stuck == 0


class ServerSide:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.session = CountingSession()
        self.sent: list[rtc.SessionDescription] = []
        self.counters: Counter[str] = Counter()
        self.stuck = 0
        self.offers = ServerOffers(
            self.session,  # type: ignore[arg-type]
            clock=self.clock,
            timeouts=TIMEOUTS,
            counters=self.counters,
            send_offer=self.sent.append,
            on_stuck=self.handle_stuck,
        )

    def handle_stuck(self) -> None:
        self.stuck += 1

    def answer(self, id: int = 0) -> bool:
        return self.offers.handle_answer(rtc.SessionDescription(sdp="answer", id=id))


def test_one_offer_at_a_time_and_the_next_after_its_answer() -> None:
    side = ServerSide()
    side.offers.start()
    side.session.has_pending = True
    side.offers.request()
    side.clock.advance(1)
    assert [offer.id for offer in side.sent] == [1]
    assert side.answer(1)
    side.clock.advance(0.02)
    assert [offer.id for offer in side.sent] == [1, 2]


def test_what_cannot_be_offered_is_tried_less_and_less() -> None:
    side = ServerSide()
    side.session.has_pending = True
    side.offers.start()
    for _ in range(600):
        if side.sent:
            side.answer(side.sent[-1].id)
        side.clock.advance(0.1)
    assert 10 <= len(side.sent) <= 20 and side.stuck == 0


@pytest.mark.parametrize("id", [0, 1])
def test_answers_may_leave_the_id_out(id: int) -> None:
    side = ServerSide()
    side.offers.start()
    assert side.answer(id) and not side.answer(id)
    assert side.counters["answer_unexpected"] == 1


def test_a_stale_answer_is_dropped() -> None:
    side = ServerSide()
    side.offers.start()
    assert not side.answer(7)
    assert "answer" not in side.session.log


def test_no_answer_in_time_is_reported() -> None:
    side = ServerSide()
    side.offers.start()
    side.clock.advance(30.1)
    assert side.stuck == 1


def test_resume_withdraws_and_restarts_ice() -> None:
    side = ServerSide()
    side.offers.start()
    side.offers.pause()
    side.session.has_pending = True
    side.offers.request()
    side.clock.advance(100)
    assert side.stuck == 0 and len(side.sent) == 1
    side.offers.handle_resumed()
    assert side.session.log == ["offer", "withdraw", "restart"]
    assert [offer.id for offer in side.sent] == [1, 2]
    assert not side.answer(1) and side.answer(2)


def test_closed_makes_no_offers() -> None:
    side = ServerSide()
    side.offers.start()
    side.session.has_pending = True
    side.answer()
    side.offers.close()
    side.offers.handle_resumed()
    side.clock.advance(100)
    assert len(side.sent) == 1 and side.stuck == 0
