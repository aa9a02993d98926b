"""Whose microphones are forwarded, through the real core with the caller's clock."""

from __future__ import annotations

from aiortc.rtp import RtpPacket
from engine_peer import AUDIO_PT, EnginePeer, Subscriber

from sfu import engine as native

PACKET_US = 20_000
LOUD_BYTES, QUIET_BYTES = 80, 4
"""Who tells no level speaks at -40 dBov while packets are larger than comfort noise."""
GROUP = 1


class Meeting:
    """People with microphones over lossless links without delay, and one who listens."""

    def __init__(self) -> None:
        self.simulator = native.Simulator(1)
        self.now_us = 1_000_000
        self.peers: dict[tuple[str, int], EnginePeer] = {}
        self.listener = Subscriber(self.simulator, seed=99)
        self._join(self.listener)
        self.microphones: list[tuple[EnginePeer, int]] = []
        self._seq = 0

    def _join(self, peer: EnginePeer) -> None:
        address = (f"192.0.2.{len(self.peers) + 1}", 5000)
        self.peers[address] = peer
        self.simulator.handle_datagram(self.now_us, address, peer.check())
        self._deliver()

    def add_person(self, num_microphones: int = 1) -> None:
        person = EnginePeer(self.simulator, seed=len(self.peers))
        self._join(person)
        for number in range(num_microphones):
            ssrc = 0x10000 + len(self.microphones)
            rows = [("", ssrc, 0)]
            source = self.simulator.add_source(person.transport, str(number), True, rows)
            self.listener.subscribe(source, ssrc=ssrc, is_audio=True)
            self.simulator.set_speaker_group(source, GROUP)
            self.microphones.append((person, ssrc))

    def talk(self, duration_us: int, *, loud: set[int]) -> list[int]:
        """Let all microphones send; returns those heard all the time in the last half."""
        count = duration_us // PACKET_US
        before: dict[int, int] = {}
        for step in range(count):
            if step == count // 2:
                before = self._received()
            for number, (person, ssrc) in enumerate(self.microphones):
                size = LOUD_BYTES if number in loud else QUIET_BYTES
                packet = RtpPacket(
                    payload_type=AUDIO_PT,
                    sequence_number=self._seq,
                    timestamp=self._seq * 960,
                    ssrc=ssrc,
                    payload=bytes(size),
                )
                address = next(key for key, value in self.peers.items() if value is person)
                self.simulator.handle_datagram(self.now_us, address, person.protect(packet))
                self._deliver()
            self._seq += 1
            self.now_us += PACKET_US
        heard = self._received()
        return [n for n in heard if heard[n] - before.get(n, 0) == count - count // 2]

    def _received(self) -> dict[int, int]:
        streams = self.listener.streams
        return {
            number: len(streams[ssrc].packets)
            for number, (_, ssrc) in enumerate(self.microphones)
            if ssrc in streams
        }

    def _deliver(self) -> None:
        for ip, port, data in self.simulator.poll(self.now_us):
            for answer in self.peers[ip, port].handle(data):
                self.simulator.handle_datagram(self.now_us, (ip, port), answer)


def test_three_loud_microphones_of_one_guest_are_one_place() -> None:
    meeting = Meeting()
    meeting.add_person(3)
    assert meeting.talk(1_000_000, loud={0, 1, 2}) == [0, 1, 2], "there is room"
    meeting.add_person()
    meeting.add_person()
    heard = meeting.talk(1_000_000, loud={0, 1, 2})
    assert len(heard) == 3 and {3, 4} < set(heard), "also while they say nothing"
    meeting.add_person()
    # A fourth, who speaks, takes the place of one who does not, and the guest keeps one.
    heard = meeting.talk(4_000_000, loud={0, 1, 2, 5})
    assert len(heard) == 3 and 5 in heard
    assert len({0, 1, 2} & set(heard)) == 1


def test_a_guest_may_change_the_microphone() -> None:
    meeting = Meeting()
    meeting.add_person(2)
    for _ in range(3):
        meeting.add_person()
    assert set(meeting.talk(4_000_000, loud={0, 2, 3})) == {0, 2, 3}
    assert set(meeting.talk(4_000_000, loud={1, 2, 3})) == {1, 2, 3}
