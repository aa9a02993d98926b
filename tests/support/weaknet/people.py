"""Client processes (`client.py`), started where they belong and ended in any case."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Any

from weaknet.namespaces import Namespace
from weaknet.network import SUPPORT

START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 10.0


class ClientFailedError(Exception):
    """A client process ended or said nothing for too long."""


class Person:
    """One client process."""

    def __init__(self, place: Namespace, role: str, name: str, **order: Any) -> None:
        """Start it inside a namespace; it waits for `go`."""
        self.name = name
        self._log = tempfile.TemporaryFile()
        self._read = b""
        self._told: list[dict[str, Any]] = []
        with place.entered():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "weaknet.client"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, "PYTHONPATH": str(SUPPORT)},
            )
        self._type(json.dumps({"role": role, **order}))

    def _type(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ClientFailedError(f"{self.name} ended early: {self._tail()}") from None

    def go(self) -> None:
        """Connect now."""
        self.wait_for("ready", START_TIMEOUT_S)
        self._type("go")

    def wait_for(self, what: str, limit_s: float) -> Any:
        """The value of a line that it tells."""
        deadline_s = time.monotonic() + limit_s
        while True:
            for told in self._told:
                if what in told:
                    return told[what]
                if told.get("failure"):
                    raise ClientFailedError(f"{self.name}: {told['failure']}")
            if not self._read_more(deadline_s - time.monotonic()):
                raise ClientFailedError(f"{self.name} never told {what!r}: {self._tail()}")

    def _read_more(self, wait_s: float) -> bool:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        if wait_s <= 0 or not select.select([pipe], [], [], wait_s)[0]:
            return False
        data = os.read(pipe, 1 << 20)
        *lines, self._read = (self._read + data).split(b"\n")
        self._told += [json.loads(line) for line in lines]
        return bool(data)

    def stop(self) -> None:
        """Ask it to end its run."""
        self._type("stop")

    def report(self, limit_s: float) -> dict[str, Any]:
        """What it tells at the end; a client that failed to connect tells it as well."""
        deadline_s = time.monotonic() + limit_s
        while not any("report" in told for told in self._told):
            if not self._read_more(deadline_s - time.monotonic()):
                raise ClientFailedError(f"{self.name} gave no report: {self._tail()}")
        return dict(next(told["report"] for told in self._told if "report" in told))

    def _tail(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace").strip()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Person:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        self.close()
