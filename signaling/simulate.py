"""Faults that a client may ask for, to test how it copes. They touch only the client itself."""

from __future__ import annotations

from livekit.protocol import models, rtc

from signaling.membership import remove
from signaling.participant import Participant
from signaling.room import Room

__all__ = ["handle_simulate"]

Reason = models.DisconnectReason
Action = rtc.LeaveRequest


def handle_simulate(room: Room, participant: Participant, request: rtc.SimulateScenario) -> None:
    """Plays one scenario; unknown ones do nothing."""
    scenario = request.WhichOneof("scenario")
    if scenario == "speaker_update":
        speaker = models.SpeakerInfo(sid=participant.sid, level=1.0, active=True)
        participant.send(speakers_changed=rtc.SpeakersChanged(speakers=[speaker]))
    elif scenario in ("node_failure", "migration"):
        # The session is gone without a word, as if this process had died.
        remove(room, participant, Reason.MIGRATION, is_silent=True)
    elif scenario == "server_leave":
        remove(room, participant, Reason.SERVER_SHUTDOWN)
    elif scenario == "leave_request_full_reconnect":
        remove(room, participant, Reason.UNKNOWN_REASON, action=Action.RECONNECT)
    elif scenario == "switch_candidate_protocol":
        leave = rtc.LeaveRequest(
            reason=Reason.UNKNOWN_REASON, action=Action.RESUME, can_reconnect=True
        )
        participant.send(leave=leave)
    elif scenario in ("disconnect_signal_on_resume", "disconnect_signal_on_resume_no_messages"):
        participant.drops_next_resume = True
