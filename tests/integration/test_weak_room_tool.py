"""`make weakroom`: what somebody types changes the line between the browser and the server."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from testkit.server import ROOT, free_port
from weaknet_stage import require_links


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def until_answers(url: str, limit_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not answers(url):
        assert time.monotonic() < deadline_s, f"{url} never answered"
        time.sleep(0.1)


def test_a_typed_name_changes_the_line(tmp_path: Path) -> None:
    require_links()
    port = free_port()
    command = [sys.executable, "tests/bench/weak_room.py", "--data", str(tmp_path / "data")]
    command += ["--", "--port", str(port), "--no-demo"]
    url = f"http://198.18.1.2:{port}/healthz"
    with (tmp_path / "log").open("w+") as log:
        tool = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
        )
        try:
            assert tool.stdin is not None
            until_answers(url)
            tool.stdin.write("dead\n")
            tool.stdin.flush()
            deadline_s = time.monotonic() + 10
            while answers(url):
                assert time.monotonic() < deadline_s, "the line never went dead"
            tool.stdin.write("nowhere\ngood\n")
            tool.stdin.flush()
            until_answers(url)
            tool.stdin.close()  # as the end of a terminal
            assert tool.wait(20) == 0
        finally:
            tool.kill()
            tool.wait()
        log.seek(0)
        told = log.read()
    assert "no line 'nowhere'" in told and "line: dead" in told, told
