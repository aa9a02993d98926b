"""`/api/rooms/{room}/hand`: a person raises or lowers his own hand.

People may not change how they are shown, so the server writes this one attribute for them. Hosts
lower other people's hands through the room service, which their token allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web
from livekit.protocol.room import UpdateParticipantRequest

from signaling.errors import AuthError, TwirpError
from signaling.service import SignalingService
from signaling.tokens import Grants, VideoGrant
from web.http.bodies import Choice, Shape, read_json
from web.http.callers import caller_address
from web.http.operations import Operation
from web.http.problems import Problem, not_found, too_many
from web.http.rates import RateLimit
from web.rtc.routes import bearer_token

HAND_ATTRIBUTE: Final = "hand"
"""Unix time in ms when the hand went up, so that pages show hands in their order; absent: down."""
HAND = Shape({"hand": Choice(("up", "down"))})


class HandRoutes:
    """Raised hands."""

    def __init__(
        self,
        signaling: SignalingService,
        *,
        api_key: str,
        failures: RateLimit,
        wall_s: Callable[[], float],
    ) -> None:
        """Take the room's keeper, the key it knows us by, and the limit on failed tries."""
        self._signaling = signaling
        self._api_key = api_key
        self._failures = failures
        self._wall_s = wall_s

    def operations(self) -> list[Operation]:
        """Return the route."""
        return [
            Operation(
                "POST",
                "/api/rooms/{room}/hand",
                self.handle_hand,
                "Raise or lower one's own hand",
                "people",
                access="token",
                body=HAND,
                answers={204: "Everybody in the room is shown it.", 404: "Not in that room."},
            )
        ]

    async def handle_hand(self, request: web.Request) -> web.Response:
        """Write the caller's attribute."""
        room = request.match_info["room"]
        grants = self._person(request)
        if not grants.video.room_join or grants.video.room != room:
            raise Problem(403, "not_allowed", "The access token is not for this room.")
        body = await read_json(request, HAND)
        raised_at = str(int(self._wall_s() * 1000)) if body["hand"] == "up" else ""
        update = UpdateParticipantRequest(
            room=room, identity=grants.identity, attributes={HAND_ATTRIBUTE: raised_at}
        )
        ours = Grants(api_key=self._api_key, video=VideoGrant(room_admin=True, room=room))
        try:
            await self._signaling.call(
                "livekit.RoomService", "UpdateParticipant", ours, update.SerializeToString()
            )
        except TwirpError as error:
            if error.code == "not_found":
                raise not_found("That person") from None
            raise
        return web.Response(status=204)

    def _person(self, request: web.Request) -> Grants:
        try:
            return self._signaling.authenticate(bearer_token(request))
        except AuthError as error:
            if wait_s := self._failures.take(caller_address(request)):
                raise too_many(wait_s) from None
            raise Problem(401, error.code, "The access token is not valid.") from None
