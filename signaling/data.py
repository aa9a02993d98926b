"""Data packets: checked, stamped with who really sent them, and passed on."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from livekit.protocol import models

from signaling.history import Delivered
from signaling.pages import is_page
from signaling.participant import Participant
from signaling.rights import may_publish_data
from signaling.room import Room
from signaling.up_step import TOPIC as UPLINK_TOPIC
from signaling.up_step import handle_announcement

__all__ = ["LOSSY", "RELIABLE", "deliver", "handle_packet", "replay"]

RELIABLE = "_reliable"
LOSSY = "_lossy"
_KINDS = {RELIABLE: models.DataPacket.RELIABLE, LOSSY: models.DataPacket.LOSSY}
_LABELS = {kind: label for label, kind in _KINDS.items()}
# Speakers are ours to announce; metrics are addressed to the server, which has no use for them.
_NOT_FORWARDED = (None, "speaker", "metrics")
# Our pages believe what comes on these without a sender, as from hidden participants.
_SERVER_TOPICS = ("aislecast.still", "aislecast.network")


def handle_packet(room: Room, sender: Participant, label: str, data: bytes) -> None:
    """Takes one message of a participant's data channel."""
    drop = _route(room, sender, label, data)
    if drop:
        room.context.counters[f"data_{drop}"] += 1


def _route(room: Room, sender: Participant, label: str, data: bytes) -> str:
    """Forwards a packet, or returns why not."""
    kind = _KINDS.get(label)
    if kind is None:
        return "unknown_channel"
    if not may_publish_data(sender.permission):
        return "not_allowed"
    if len(data) > room.context.config.limits.data_payload_bytes:
        return "too_large"
    try:
        packet = models.DataPacket.FromString(data)
    except DecodeError:
        return "malformed"
    value = packet.WhichOneof("value")
    if value in _NOT_FORWARDED:
        return "not_forwarded"
    if value == "user" and packet.user.topic in _SERVER_TOPICS:
        return "reserved_topic"
    if value == "transcription" and sender.info.kind != models.ParticipantInfo.AGENT:
        return "not_allowed"
    if kind == models.DataPacket.RELIABLE and packet.sequence:
        if packet.sequence <= sender.last_reliable_seq:
            return "duplicate"
        sender.last_reliable_seq = packet.sequence
    if value == "user" and packet.user.topic == UPLINK_TOPIC:
        # For us, and for nobody else.
        return handle_announcement(sender, packet.user.payload) if is_page(sender) else "not_a_page"
    _stamp(packet, sender, kind)
    deliver(room, packet, sender=sender)
    return ""


def _stamp(packet: models.DataPacket, sender: Participant, kind: models.DataPacket.Kind) -> None:
    """What a sender says of itself is not trusted; a hidden one stays unnamed."""
    sid = "" if sender.is_hidden else sender.sid
    identity = "" if sender.is_hidden else sender.identity
    packet.kind = kind
    packet.participant_sid = sid
    packet.participant_identity = identity
    if packet.WhichOneof("value") == "user":
        user = packet.user
        if not packet.destination_identities:
            packet.destination_identities.extend(user.destination_identities)
        # Deprecated copies that older receivers read.
        user.participant_sid = sid
        user.participant_identity = identity


def deliver(room: Room, packet: models.DataPacket, *, sender: Participant | None) -> None:
    """Sends a packet to its destinations, or to everybody but the sender."""
    recipients = _recipients(room, packet, sender)
    label = _LABELS[packet.kind]
    data = packet.SerializeToString()
    for participant in recipients:
        if participant.link is not None and not participant.link.send_data(label, data):
            room.context.counters["data_not_sent"] += 1
    if sender is not None and packet.kind == models.DataPacket.RELIABLE and packet.sequence:
        has_destinations = bool(packet.destination_identities) or _has_sids(packet)
        room.history.add(
            Delivered(
                room.context.clock.now_s(),
                sender.sid,
                packet.sequence,
                frozenset(p.sid for p in recipients) if has_destinations else None,
                data,
            )
        )


def _has_sids(packet: models.DataPacket) -> bool:
    return packet.WhichOneof("value") == "user" and bool(packet.user.destination_sids)


def _recipients(
    room: Room, packet: models.DataPacket, sender: Participant | None
) -> list[Participant]:
    sids = set(packet.user.destination_sids) if _has_sids(packet) else set()
    if not packet.destination_identities and not sids:
        found = list(room.participants.values())
    else:
        found = [
            participant
            for identity in dict.fromkeys(packet.destination_identities)
            if (participant := room.participants.get(identity)) is not None
        ]
        found += [p for sid in sids if (p := room.by_sid.get(sid)) is not None and p not in found]
    return [p for p in found if p is not sender and p.link is not None]


def replay(room: Room, participant: Participant, last_seqs: dict[str, int]) -> None:
    """Sends a resumed participant the reliable packets it has not seen. Receivers drop doubles."""
    if participant.link is None:
        return
    for data in room.history.missed_by(participant.sid, last_seqs):
        participant.link.send_data(RELIABLE, data)
        room.context.counters["data_replayed"] += 1
