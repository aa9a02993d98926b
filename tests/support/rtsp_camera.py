"""A real RTSP camera for tests: GStreamer's RTSP server. Run by the system's Python, which has gi.

Prints one line, ``READY <port>``, when it can be connected to.
"""

from __future__ import annotations

import argparse

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

VIDEO = (
    # It moves: encoders would else make next to nothing of it.
    "videotestsrc is-live=true pattern=smpte horizontal-speed=4 "
    "! video/x-raw,width=320,height=240,framerate=15/1 ! "
)
CODECS = {
    "h264": (
        "x264enc tune=zerolatency speed-preset=ultrafast bitrate=300 key-int-max=15 "
        "! video/x-h264,profile=baseline ! rtph264pay name=pay0 pt=96 config-interval={interval}"
    ),
    "h264-bframes": (
        "x264enc bframes=2 b-adapt=false speed-preset=ultrafast bitrate=300 key-int-max=30 "
        "! video/x-h264,profile=main ! rtph264pay name=pay0 pt=96 config-interval=1"
    ),
    "h265": (
        "x265enc tune=zerolatency speed-preset=ultrafast bitrate=300 key-int-max=15 "
        "! rtph265pay name=pay0 pt=96 config-interval=1"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--config-interval", type=int, default=1, help="0 = only in the SDP")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user")
    parser.add_argument("--password")
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    factory = GstRtspServer.RTSPMediaFactory()
    encoder = CODECS[options.codec].format(interval=options.config_interval)
    factory.set_launch(f"( {VIDEO} {encoder} )")
    factory.set_shared(True)
    if options.user:
        protect(server, factory, options.user, options.password)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print("READY", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def protect(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    user: str,
    password: str,
) -> None:
    """Ask for digest authentication, as cameras do."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
