"""`/whip/…` and `/whep/…`: RFC 9725 and draft-ietf-wish-whep over the room service."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web
from livekit.protocol import models

from sfu.ingest.resource import PatchError
from sfu.ingest.sdpfrag import MAX_FRAGMENT_BYTES
from sfu.ingest.sdpfrag import MEDIA_TYPE as FRAGMENT_TYPE
from sfu.ingest.whep import NothingToPlayError, WhepSession
from sfu.ingest.whip import WhipSession
from sfu.sdp import SdpError
from sfu.sdp.parse import MAX_TEXT_BYTES
from sfu.server import MediaServer
from signaling.config import IceServer
from signaling.errors import AuthError, JoinError
from signaling.rights import check_join, may_subscribe, permission_from_grant
from signaling.service import SignalingService
from signaling.tokens import Grants
from web.http.bodies import read_bounded
from web.http.callers import caller_address
from web.http.operations import Operation
from web.http.problems import Problem, not_found, too_many
from web.http.rates import RateLimit
from web.rtc.routes import bearer_token
from web.whip.publisher import Publisher
from web.whip.resources import Kind, Resource, Resources
from web.whip.tracks import describe_tracks, may_publish_all, playable_tracks

SDP_TYPE = "application/sdp"
MAX_RESOURCES = 500
CONNECT_TIMEOUT_S = 20.0
NOT_READY_RETRY_S = 2
# What the peer asked for is understood and cannot be done; anything else wrong is a bad request.
UNPROCESSABLE = ("whip_no_track", "whep_no_common_codec")
ANSWERS = {
    201: "The answer (application/sdp); Location is the session's address, ETag its ICE session.",
    400: "The offer is malformed.",
    401: "The token is not valid.",
    403: "The token does not allow this.",
    415: "The body must be application/sdp.",
    422: "The offer has nothing that could be used.",
    503: "The server is full.",
}
PATCH_ANSWERS = {
    200: "ICE was restarted: our credentials and candidates.",
    204: "Taken.",
    412: "If-Match names an older ICE session.",
    428: "If-Match is missing.",
}


class WhipRoutes:
    """Encoders publish by WHIP, players watch by WHEP; both carry an access token for the room."""

    def __init__(
        self, signaling: SignalingService, media: MediaServer, *, failures: RateLimit
    ) -> None:
        """Take the services and the limit on failed tries per caller."""
        self._signaling = signaling
        self._media = media
        self._failures = failures
        self.resources = Resources(
            make_id=lambda: secrets.token_urlsafe(18),
            maximum=MAX_RESOURCES,
            connect_timeout_s=CONNECT_TIMEOUT_S,
        )
        signaling.hooks.on_track_unpublished.append(self._handle_unpublished)

    def operations(self) -> list[Operation]:
        """Return the routes."""
        posts = [
            ("/whip/{room}", self.handle_whip, "Publish into a room by WHIP (RFC 9725)"),
            ("/whep/{room}", self.handle_whep, "Watch a room by WHEP"),
            ("/whep/{room}/{target}", self.handle_whep, "Watch one participant or track by WHEP"),
        ]
        operations = [
            Operation("POST", path, handler, summary, "whip", access="token", answers=ANSWERS)
            for path, handler, summary in posts
        ]
        operations += [
            Operation(
                "OPTIONS",
                path,
                self.handle_options,
                "What can be posted here",
                "whip",
                access="anyone",
                answers={204: "Accept-Post names the type."},
            )
            for path, _, _ in posts
        ]
        for kind in ("whip", "whep"):
            path = f"/{kind}/{{room}}/sessions/{{id}}"
            operations.append(
                Operation(
                    "PATCH",
                    path,
                    self.handle_patch,
                    "Trickle ICE candidates, or restart ICE",
                    "whip",
                    access="token",
                    answers=PATCH_ANSWERS,
                )
            )
            operations.append(
                Operation(
                    "DELETE",
                    path,
                    self.handle_delete,
                    "End the session",
                    "whip",
                    access="token",
                    answers={200: "Ended."},
                )
            )
        return operations

    async def close(self) -> None:
        """End every session."""
        await self.resources.close()

    async def handle_options(self, request: web.Request) -> web.Response:
        """Say what can be posted (RFC 9725 §4.2)."""
        return web.Response(status=204, headers={"Accept-Post": SDP_TYPE})

    async def handle_whip(self, request: web.Request) -> web.Response:
        """Take an encoder's offer; it is in the room from now on, its tracks once it connects."""
        room, grants = self._admit(request)
        permission = permission_from_grant(grants.video)
        if not permission.can_publish:
            raise Problem(403, "not_allowed", "The access token does not allow publishing.")
        offer = await read_sdp(request)
        self.resources.check_room_left()
        session = WhipSession(self._media.create_transport(), self._media.candidates)
        try:
            answer, tracks = session.handle_offer(offer)
            infos = describe_tracks(tracks)
            if not may_publish_all(permission, infos):
                raise Problem(403, "not_allowed", "The access token does not allow these tracks.")
            publisher = Publisher(self._signaling, session, grants)
            publisher.join(list(zip(tracks, infos, strict=True)))
        except (SdpError, JoinError, Problem) as error:
            await session.close()
            raise as_problem(error) from None
        resource = self.resources.add("whip", room, grants.identity, session)
        publisher.on_left = lambda: self.resources.remove(resource)
        resource.on_removed = publisher.leave
        return created(resource, answer, self._signaling.ice_servers(resource.id))

    async def handle_whep(self, request: web.Request) -> web.Response:
        """Take a player's offer and answer with what is in the room now."""
        room, grants = self._admit(request)
        if not may_subscribe(permission_from_grant(grants.video)):
            raise Problem(403, "not_allowed", "The access token does not allow watching.")
        offer = await read_sdp(request)
        self.resources.check_room_left()
        viewable = self._signaling.list_viewable(room, grants.identity)
        tracks = playable_tracks(viewable, request.match_info.get("target", ""))
        session = WhepSession(self._media.create_transport(), self._media.candidates)
        try:
            answer, subscriptions = session.handle_offer(offer, tracks)
        except (SdpError, NothingToPlayError) as error:
            await session.close()
            raise as_problem(error) from None
        resource = self.resources.add("whep", room, grants.identity, session)
        for subscription in subscriptions:
            self._signaling.watch(room, resource.id, subscription)

        def unwatch() -> None:
            for subscription in subscriptions:
                self._signaling.unwatch(room, resource.id, subscription)

        resource.on_removed = unwatch
        return created(resource, answer, self._signaling.ice_servers(resource.id))

    async def handle_patch(self, request: web.Request) -> web.Response:
        """Take trickled candidates or an ICE restart (RFC 9725 §4.3)."""
        resource = self._find(request)
        if request.content_type != FRAGMENT_TYPE:
            raise Problem(415, "not_a_fragment", f"The body must be {FRAGMENT_TYPE}.")
        body = await read_text(request, MAX_FRAGMENT_BYTES)
        try:
            patched = resource.session.handle_patch(body, request.headers.get("If-Match"))
        except PatchError as error:
            status = 428 if error.code == "patch_needs_etag" else 412
            raise Problem(status, error.code, f"{error.message}.") from None
        except SdpError as error:
            raise as_problem(error) from None
        headers = {"ETag": patched.etag}
        if not patched.fragment:
            return web.Response(status=204, headers=headers)
        # As bytes: the type has no charset parameter.
        fragment = patched.fragment.encode()
        return web.Response(body=fragment, content_type=FRAGMENT_TYPE, headers=headers)

    async def handle_delete(self, request: web.Request) -> web.Response:
        """End the session."""
        self.resources.remove(self._find(request))
        return web.Response(status=200)

    def _admit(self, request: web.Request) -> tuple[str, Grants]:
        """Check the token against the room in the path."""
        grants = self._authenticate(request)
        room = request.match_info["room"]
        try:
            check_join(grants)
        except JoinError as error:
            raise as_problem(error) from None
        if grants.video.room != room:
            raise Problem(403, "not_allowed", "The access token is for another room.")
        return room, grants

    def _authenticate(self, request: web.Request) -> Grants:
        caller = caller_address(request)
        try:
            return self._signaling.authenticate(bearer_token(request))
        except AuthError as error:
            if wait_s := self._failures.take(caller):
                raise too_many(wait_s) from None
            headers = {"WWW-Authenticate": "Bearer"}
            message = "The access token is not valid."
            raise Problem(error.http_status, error.code, message, headers=headers) from None

    def _find(self, request: web.Request) -> Resource:
        """Find the session of a path, for the one who made it."""
        room, grants = self._admit(request)
        kind: Kind = "whip" if request.path.startswith("/whip/") else "whep"
        resource = self.resources.find(request.match_info["id"], kind, room)
        if resource is None or resource.identity != grants.identity:
            raise not_found("The session")
        return resource

    def _handle_unpublished(
        self, room: models.Room, _: models.ParticipantInfo, track: models.TrackInfo
    ) -> None:
        """End the players whose last track is gone: their connection would stay silent for ever."""
        for resource in self.resources.of_kind("whep"):
            subscriptions = resource.session.session.subscriptions
            if resource.room != room.name:
                continue
            for subscription in subscriptions:
                if subscription.track_id == track.sid:
                    resource.session.session.unsubscribe(subscription)
            if not resource.session.session.subscriptions:
                self.resources.remove(resource)


def created(resource: Resource, answer: str, ice_servers: Iterable[IceServer]) -> web.Response:
    """Answer 201 with the session's address, the SDP answer and the ICE servers."""
    room = quote(resource.room, safe="")
    response = web.Response(
        status=201,
        body=answer.encode(),
        content_type=SDP_TYPE,
        headers={
            "Location": f"/{resource.kind}/{room}/sessions/{resource.id}",
            "ETag": resource.session.etag,
            "Accept-Patch": FRAGMENT_TYPE,
        },
    )
    for server in ice_servers:
        for url in server.urls:
            response.headers.add("Link", ice_server_link(url, server))
    return response


def ice_server_link(url: str, server: IceServer) -> str:
    """Write one ICE server as a Link header (RFC 9725 §4.6)."""
    link = f'<{url}>; rel="ice-server"'
    if server.username:
        link += f'; username="{server.username}"; credential="{server.credential}"'
        link += '; credential-type="password"'
    return link


def as_problem(error: SdpError | JoinError | NothingToPlayError | Problem) -> Problem:
    """Turn what was wrong with an offer into an HTTP refusal."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, JoinError):
        return Problem(error.http_status, error.code, f"{error.message}.")
    if isinstance(error, NothingToPlayError):
        headers = {"Retry-After": str(NOT_READY_RETRY_S)}
        return Problem(404, error.code, "There is nothing to watch here now.", headers=headers)
    status = 422 if error.code in UNPROCESSABLE else 400
    return Problem(status, error.code, f"The session description cannot be used: {error.message}.")


async def read_sdp(request: web.Request) -> str:
    """Read an SDP body."""
    if request.content_type != SDP_TYPE:
        raise Problem(415, "not_sdp", f"The body must be {SDP_TYPE}.")
    return await read_text(request, MAX_TEXT_BYTES)


async def read_text(request: web.Request, max_bytes: int) -> str:
    """Read a bounded UTF-8 body."""
    try:
        return (await read_bounded(request, max_bytes)).decode()
    except UnicodeDecodeError:
        raise Problem(400, "not_utf8", "The body is not UTF-8.") from None
