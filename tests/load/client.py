"""One load client: one-connection LiveKit signalling, DTLS here, media in the native part."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Callable

import aiohttp
import aislecast_load
import jwt
from dtls import DtlsIdentity, DtlsPeer
from livekit.protocol import models, rtc
from media import EncodedLayer
from sdp import (
    EXTENSIONS,
    OPUS_PT,
    VP8_PT,
    Answer,
    Section,
    build_offer,
    parse_answer,
    parse_candidates,
)

HANDSHAKE_RETRY_S = 0.4


def mint_token(key: str, secret: str, room: str, identity: str) -> str:
    """An access token that may do everything in `room`."""
    now = int(time.time())
    video = {"roomJoin": True, "room": room, "canPublish": True, "canSubscribe": True}
    claims = {"iss": key, "sub": identity, "nbf": now - 5, "exp": now + 3600, "video": video}
    return jwt.encode(claims, secret, algorithm="HS256")


class LoadClient:
    """Joins, negotiates, and tells when the first picture came."""

    def __init__(
        self, native: aislecast_load.Load, identity: DtlsIdentity, http: aiohttp.ClientSession
    ) -> None:
        self._native, self._identity, self._http = native, identity, http
        self._sections: list[Section] = []
        self._ufrag, self._pwd = secrets.token_hex(4), secrets.token_hex(12)
        self._dtls: DtlsPeer | None = None
        self._answer: Answer | None = None
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._published: dict[str, asyncio.Future[str]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._offer_id = 0
        self._trickled: list[tuple[str, int]] = []
        self._layers: list[EncodedLayer] = []
        self._audio: list[bytes] = []
        self.peer = -1
        self.is_secured = asyncio.Event()
        self.has_picture = asyncio.Event()
        self.joined_at_s = 0.0
        self.picture_after_s: float | None = None
        self.failure: str | None = None

    async def join(self, url: str, token: str, *, audios: int, videos: int) -> None:
        """Opens signalling and offers `audios` and `videos` receiving sections."""
        self.joined_at_s = time.monotonic()
        self._sections += [Section("audio", "recvonly") for _ in range(audios)]
        self._sections += [Section("video", "recvonly") for _ in range(videos)]
        request = rtc.JoinRequest(
            client_info=models.ClientInfo(sdk=models.ClientInfo.GO, version="2.0.0", protocol=16),
            connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
        )
        wrapped = rtc.WrappedJoinRequest(join_request=request.SerializeToString())
        query = base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()
        self._ws = await self._http.ws_connect(
            f"{url}/rtc/v1",
            params={"join_request": query},
            headers={"Authorization": f"Bearer {token}"},
            max_msg_size=0,
        )
        first = await self._receive()
        if first is None or not first.HasField("join"):
            raise ConnectionError(f"no join response but {first}")
        self._tasks.append(asyncio.create_task(self._read()))
        self._tasks.append(asyncio.create_task(self._ping()))
        if self._sections:
            await self._negotiate()

    async def publish(self, layers: list[EncodedLayer], audio: list[bytes]) -> None:
        """Adds a simulcast camera and, with `audio`, a microphone; sends once secured."""
        self._layers, self._audio = layers, audio
        video_cid, audio_cid = "load-video", "load-audio"
        audio_ssrc = secrets.randbits(31) | 1
        add_video = rtc.AddTrackRequest(
            cid=video_cid, name="camera", type=models.VIDEO, source=models.CAMERA,
            width=layers[-1].width, height=layers[-1].height,
            layers=[
                models.VideoLayer(quality=index, width=layer.width, height=layer.height,
                                  bitrate=layer.bitrate_bps)
                for index, layer in enumerate(layers)
            ],
        )  # fmt: skip
        add_audio = rtc.AddTrackRequest(
            cid=audio_cid, name="mic", type=models.AUDIO, source=models.MICROPHONE
        )
        for request in (add_video, add_audio) if audio else (add_video,):
            self._published[request.cid] = asyncio.get_running_loop().create_future()
            await self._send(rtc.SignalRequest(add_track=request))
        await asyncio.wait_for(asyncio.gather(*self._published.values()), 10)
        rids = tuple(layer.rid for layer in layers)
        self._sections.append(Section("video", "sendonly", f"- {video_cid}", rids))
        if audio:
            self._sections.append(Section("audio", "sendonly", f"- {audio_cid}", ssrc=audio_ssrc))
        await self._negotiate()
        await asyncio.wait_for(self.is_secured.wait(), 10)
        video_mid = len(self._sections) - (2 if audio else 1)
        twcc_id = min(self._answer.twcc_ids, default=0) if self._answer else 0
        mid_id = EXTENSIONS["mid"][0]
        self._native.publish_video(
            self.peer, str(video_mid), mid_id, EXTENSIONS["rid"][0], twcc_id, VP8_PT,
            [(layer.rid, secrets.randbits(31) | 1, layer.frames) for layer in layers], 25.0,
        )  # fmt: skip
        if audio:
            level_id = EXTENSIONS["audio_level"][0]
            self._native.publish_audio(
                self.peer, str(video_mid + 1), mid_id, level_id, twcc_id, OPUS_PT, audio_ssrc, audio
            )

    async def _negotiate(self) -> None:
        self._offer_id += 1
        offer = build_offer(self._sections, self._ufrag, self._pwd, self._identity.fingerprint)
        description = rtc.SessionDescription(type="offer", sdp=offer, id=self._offer_id)
        await self._send(rtc.SignalRequest(offer=description))
        answer = await asyncio.wait_for(self._answers.get(), 15)
        is_first, self._answer = self._answer is None, answer
        if is_first:
            await self._connect(answer)
        # Feedback only for what was negotiated; 0 switches TWCC off.
        self._native.set_feedback(self.peer, min(answer.twcc_ids, default=0))

    async def _connect(self, answer: Answer) -> None:
        deadline_s = time.monotonic() + 5
        while not (candidates := answer.candidates + self._trickled):
            if time.monotonic() > deadline_s:
                raise ConnectionError("the server gave no UDP candidate")
            await asyncio.sleep(0.02)
        ip, port = next((c for c in candidates if c[0] == "127.0.0.1"), candidates[0])
        self._dtls = DtlsPeer(self._identity, is_client=answer.setup == "passive")
        self.peer = self._native.add_peer(
            ip, port, self._ufrag, self._pwd, answer.ufrag, answer.pwd
        )
        on_event[self.peer] = self._on_event
        self._tasks.append(asyncio.create_task(self._retransmit()))

    async def _retransmit(self) -> None:
        while not self.is_secured.is_set():
            await asyncio.sleep(HANDSHAKE_RETRY_S)
            if self._dtls is not None and not self._dtls.done:
                self._send_dtls(self._dtls.handle_timeout())

    def _on_event(self, event: tuple[object, ...]) -> None:
        match event:
            case ("connected", _):
                assert self._dtls is not None
                self._send_dtls(self._dtls.handle(None))
            case ("dtls", _, bytes(data)) if self._dtls is not None:
                self._send_dtls(self._dtls.handle(data))
                if self._dtls.done and not self.is_secured.is_set():
                    self._native.set_srtp(self.peer, *self._dtls.export_keys())
                    self.is_secured.set()
            case ("picture", _):
                self.picture_after_s = time.monotonic() - self.joined_at_s
                self.has_picture.set()

    def _send_dtls(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self._native.send_dtls(self.peer, datagram)

    async def _receive(self) -> rtc.SignalResponse | None:
        message = await self._ws.receive()
        if message.type is not aiohttp.WSMsgType.BINARY:
            return None
        return rtc.SignalResponse.FromString(message.data)

    async def _read(self) -> None:
        while (response := await self._receive()) is not None:
            kind = response.WhichOneof("message")
            if kind == "answer":
                self._answers.put_nowait(parse_answer(response.answer.sdp))
            elif kind == "track_published":
                waiting = self._published.get(response.track_published.cid)
                if waiting is not None and not waiting.done():
                    waiting.set_result(response.track_published.track.sid)
            elif kind == "trickle":
                self._trickled += parse_candidates(response.trickle.candidateInit)
            elif kind == "media_sections_requirement":
                need = response.media_sections_requirement
                self._sections += [Section("audio", "recvonly") for _ in range(need.num_audios)]
                self._sections += [Section("video", "recvonly") for _ in range(need.num_videos)]
                self._tasks.append(asyncio.create_task(self._negotiate()))
            elif kind == "leave":
                self.failure = f"asked to leave, reason {response.leave.reason}"

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(5)
            now_ms = int(time.time() * 1000)
            await self._send(rtc.SignalRequest(ping_req=rtc.Ping(timestamp=now_ms, rtt=0)))

    async def _send(self, request: rtc.SignalRequest) -> None:
        await self._ws.send_bytes(request.SerializeToString())

    async def leave(self) -> None:
        """Says goodbye and stops every task."""
        for task in self._tasks:
            task.cancel()
        if not self._ws.closed:
            await self._send(rtc.SignalRequest(leave=rtc.LeaveRequest()))
            await self._ws.close()


# The native part speaks of peers by number; each client listens under its own.
on_event: dict[int, Callable[[tuple[object, ...]], None]] = {}
