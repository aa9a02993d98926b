"""Network namespaces without names, and TUN devices in them.

A namespace lives as long as something holds it: nothing is left behind, even if this process is
killed. Whatever is started inside `Namespace.entered()` lives in it. Needs root (CAP_NET_ADMIN,
CAP_SYS_ADMIN), /dev/net/tun and iproute2.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_TUN = "/dev/net/tun"
_HERE = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


class WeaknetUnavailableError(Exception):
    """This machine does not let us make simulated links; the message says why."""


def check_available() -> None:
    """Raise with a sentence for people when links cannot be made here."""
    if shutil.which("ip") is None:
        raise WeaknetUnavailableError("simulated links need the command `ip` (package iproute2)")
    try:
        namespace = Namespace()
    except OSError as error:
        raise WeaknetUnavailableError(
            f"simulated links need root, to make network namespaces ({error.strerror})"
        ) from None
    try:
        os.close(namespace.open_tun("probe"))
    except OSError as error:
        raise WeaknetUnavailableError(
            f"simulated links need {_TUN} ({error.strerror}); `modprobe tun`, or give the "
            "container the device (--device=/dev/net/tun --cap-add=NET_ADMIN --cap-add=SYS_ADMIN)"
        ) from None
    finally:
        namespace.close()


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Namespace:
    """One network namespace, a new one or the one we are in."""

    def __init__(self, *, is_new: bool = True) -> None:
        """Make it; a new one has its loopback up."""
        here = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
        if not is_new:
            self._fd = here
            return
        try:
            _call("unshare", _CLONE_NEWNET)
            try:
                self._fd = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
            finally:
                _call("setns", here, _CLONE_NEWNET)
        finally:
            os.close(here)
        self.ip("link", "set", "lo", "up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is inside meanwhile."""
        here = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", self._fd, _CLONE_NEWNET)
            try:
                yield
            finally:
                _call("setns", here, _CLONE_NEWNET)
        finally:
            os.close(here)

    def ip(self, *arguments: str) -> None:
        """Run `ip` inside."""
        with self.entered():
            done = subprocess.run(
                ["ip", *arguments], stderr=subprocess.PIPE, timeout=10, check=False
            )
        if done.returncode:
            told = done.stderr.decode().strip()
            raise WeaknetUnavailableError(f"ip {' '.join(arguments)}: {told}")

    def open_tun(self, name: str) -> int:
        """Make a TUN device inside; it is there while its file descriptor is open."""
        with self.entered():
            tun = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                request = struct.pack("16sH14x", name.encode(), _IFF_TUN | _IFF_NO_PI)
                fcntl.ioctl(tun, _TUNSETIFF, request)
            except OSError:
                os.close(tun)
                raise
        # No IPv6: its own chatter would only be noise on the link.
        self.ip("link", "set", name, "addrgenmode", "none", "mtu", "1500", "up")
        return tun

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
