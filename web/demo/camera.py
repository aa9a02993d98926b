"""A small RTSP camera on the loopback interface, so that the demonstration pulls a real stream.

RTSP 1.0 (RFC 2326) with media interleaved on the connection, H.264 by RFC 6184. It knows one stream
and serves a few viewers; anything else it is asked gets the RTSP status that fits.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import struct
from collections.abc import Iterator

from web.demo.loops import Loop

__all__ = ["LoopCamera", "packetize"]

_MAX_PAYLOAD_BYTES = 1400
_MAX_VIEWERS = 8
_MAX_REQUEST_LINES = 64
_MAX_BUFFERED_BYTES = 1 << 20
_CLOCK_HZ = 90_000
_PAYLOAD_TYPE = 96
_NAL_FU_A = 28


class LoopCamera:
    """Serves one H.264 loop at :attr:`url` between :meth:`start` and :meth:`close`."""

    def __init__(self, loop: Loop, *, path: str = "/aisle") -> None:
        """Listens to nothing yet."""
        self._loop = loop
        self._path = path
        self._server: asyncio.Server | None = None
        self._viewers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """Where to pull it from, once started."""
        assert self._server is not None, "asked for only after start"
        port = self._server.sockets[0].getsockname()[1]
        return f"rtsp://127.0.0.1:{port}{self._path}"

    async def start(self) -> None:
        """Listen on a free port of the loopback interface."""
        self._server = await asyncio.start_server(self._handle_viewer, "127.0.0.1", 0)

    async def close(self) -> None:
        """Stop listening and send everybody away; idempotent."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._viewers.values():
            writer.transport.abort()
        if self._viewers:
            await asyncio.wait(list(self._viewers))
        await self._server.wait_closed()
        self._server = None

    async def _handle_viewer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None, "runs as a task of the server"
        if len(self._viewers) >= _MAX_VIEWERS:
            writer.close()
            return
        self._viewers[task] = writer
        viewer = _Viewer(self._loop, self._path, writer)
        try:
            await viewer.serve(reader)
        except (ConnectionError, asyncio.IncompleteReadError, ValueError, UnicodeDecodeError):
            pass  # gone, or not RTSP
        finally:
            del self._viewers[task]
            viewer.stop()
            writer.close()


class _Viewer:
    """One RTSP connection."""

    def __init__(self, loop: Loop, path: str, writer: asyncio.StreamWriter) -> None:
        self._loop = loop
        self._path = path
        self._writer = writer
        self._session = secrets.token_hex(4)
        self._channel: int | None = None
        self._playing: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None

    async def serve(self, reader: asyncio.StreamReader) -> None:
        while True:
            first = await reader.readexactly(1)
            if first == b"$":  # RTCP of the viewer, interleaved (RFC 2326 §10.12)
                _, size = struct.unpack("!BH", await reader.readexactly(3))
                await reader.readexactly(size)
                continue
            request = (first + await reader.readline()).decode().split()
            if len(request) != 3:
                raise ValueError("not a request line")
            headers = await _read_headers(reader)
            status, extra, body = self._answer(request[0], request[1], headers)
            self._reply(status, headers.get("cseq", "0"), extra, body)
            await self._writer.drain()
            if request[0] == "PLAY" and status.startswith("200"):
                self._playing = self._playing or asyncio.create_task(self._play())
            if request[0] == "TEARDOWN":
                return

    def _answer(self, method: str, url: str, headers: dict[str, str]) -> tuple[str, list[str], str]:
        """Return status, further header lines and body."""
        session = f"Session: {self._session};timeout=60"
        if method == "OPTIONS":
            public = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
            return "200 OK", [public], ""
        if self._path not in url:
            return "404 Not Found", [], ""
        match method:
            case "DESCRIBE":
                base = f"Content-Base: {url.rstrip('/')}/"
                return "200 OK", [base, "Content-Type: application/sdp"], self._describe()
            case "SETUP":
                transport = headers.get("transport", "")
                if "RTP/AVP/TCP" not in transport:
                    return "461 Unsupported Transport", [], ""
                self._channel = _parse_channel(transport)
                channels = f"{self._channel}-{self._channel + 1}"
                line = f"Transport: RTP/AVP/TCP;unicast;interleaved={channels}"
                return "200 OK", [line, session], ""
            case "PLAY" if self._channel is not None:
                return "200 OK", [session, "Range: npt=0.000-"], ""
            case "GET_PARAMETER" | "TEARDOWN":
                return "200 OK", [session], ""
            case "PLAY":
                return "455 Method Not Valid in This State", [], ""
        return "501 Not Implemented", [], ""

    def _describe(self) -> str:
        sets = [nal for nal in _split_nals(self._loop.frames[0]) if nal[0] & 31 in (7, 8)]
        profile = sets[0][1:4].hex()
        encoded = ",".join(base64.b64encode(nal).decode() for nal in sets)
        lines = [
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            "s=aisle",
            "t=0 0",
            f"m=video 0 RTP/AVP {_PAYLOAD_TYPE}",
            "c=IN IP4 0.0.0.0",
            f"a=rtpmap:{_PAYLOAD_TYPE} H264/{_CLOCK_HZ}",
            f"a=fmtp:{_PAYLOAD_TYPE} packetization-mode=1;profile-level-id={profile};"
            f"sprop-parameter-sets={encoded}",
            "a=control:video",
        ]
        return "\r\n".join(lines) + "\r\n"

    def _reply(self, status: str, cseq: str, extra: list[str], body: str) -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {cseq}", *extra]
        if body:
            lines.append(f"Content-Length: {len(body.encode())}")
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    async def _play(self) -> None:
        """Send the loop in real time, from a key frame on."""
        clock = asyncio.get_running_loop()
        ssrc, seq, ts = secrets.randbits(32), secrets.randbits(16), secrets.randbits(32)
        started_s = clock.time()
        position = 0
        while True:
            frame = self._loop.frames[position % len(self._loop.frames)]
            payloads = list(packetize(frame))
            for index, payload in enumerate(payloads):
                marker = 0x80 if index == len(payloads) - 1 else 0
                head = struct.pack("!BBHII", 0x80, _PAYLOAD_TYPE | marker, seq, ts, ssrc)
                size = len(head) + len(payload)
                self._writer.write(struct.pack("!cBH", b"$", self._channel, size) + head + payload)
                seq = (seq + 1) & 0xFFFF
            if self._writer.transport.get_write_buffer_size() > _MAX_BUFFERED_BYTES:
                self._writer.close()  # a viewer that does not read
                return
            position += 1
            ts = (ts + _CLOCK_HZ // self._loop.rate_hz) & 0xFFFF_FFFF
            due_s = started_s + position / self._loop.rate_hz
            await asyncio.sleep(max(0.0, due_s - clock.time()))


def packetize(access_unit: bytes) -> Iterator[bytes]:
    """Yield RTP payloads of an access unit: single NAL units, or FU-A (RFC 6184 §5.6, §5.8)."""
    for nal in _split_nals(access_unit):
        if len(nal) <= _MAX_PAYLOAD_BYTES:
            yield nal
            continue
        indicator = nal[0] & 0xE0 | _NAL_FU_A
        step = _MAX_PAYLOAD_BYTES - 2
        for start in range(1, len(nal), step):
            is_first, is_last = start == 1, start + step >= len(nal)
            header = nal[0] & 0x1F | (0x80 if is_first else 0) | (0x40 if is_last else 0)
            yield bytes((indicator, header)) + nal[start : start + step]


def _split_nals(access_unit: bytes) -> list[bytes]:
    parts = access_unit.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [part for part in parts if part]


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MAX_REQUEST_LINES):
        line = (await reader.readline()).decode().strip()
        if not line:
            return headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise ValueError("too many header lines")


def _parse_channel(transport: str) -> int:
    for part in transport.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "interleaved":
            return max(0, min(int(value.partition("-")[0]), 254))
    return 0
