"""The ordinary server whose interpreter is held for 500 ms in every 2 s, as a bad pause would."""

from __future__ import annotations

import threading
import time

from web.__main__ import main

STALL_S, PERIOD_S = 0.5, 2.0


def _hold_interpreter() -> None:
    import sys

    sys.setswitchinterval(10.0)  # a busy thread then keeps the interpreter until it is done
    while True:
        time.sleep(PERIOD_S - STALL_S)
        until_s = time.monotonic() + STALL_S
        while time.monotonic() < until_s:
            pass


if __name__ == "__main__":
    threading.Timer(15.0, _hold_interpreter).start()
    main()
