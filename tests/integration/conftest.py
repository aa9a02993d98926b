"""A crash of a whole test process, and when it is not ours."""

from __future__ import annotations

import pytest

# The server of these is a process of its own, and a panic of an engine here unwinds and is caught:
# what aborts the test's process is a library of the clients. Seen once, while the server stopped.
_SERVER_IS_APART = ("tests/integration/test_web_stopping.py", "tests/integration/test_web_live.py")
_seen: set[str] = set()


def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: object) -> None:
    """Give such a test a second chance, and say so; twice is a failure."""
    if not crashitem.startswith(_SERVER_IS_APART) or crashitem in _seen:
        return
    _seen.add(crashitem)
    print(f"\nonce more, as its clients' library crashed: {crashitem}")
    report.outcome = "rerun"  # type: ignore[assignment]
    sched.mark_test_pending(crashitem)  # type: ignore[attr-defined]
