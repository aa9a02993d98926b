"""Finds the Chromium the browser tests drive; run as a script, fetches one where there is none.

`make e2e` runs it first, so that a missing browser is one plain sentence and never a skipped test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
SORRY = (
    "The browser tests need Chromium: install it (Debian: apt install chromium) "
    "or set CHROMIUM to its path."
)


def find_chromium() -> str | None:
    """Return the browser to use: $CHROMIUM, the system's, or the one Playwright keeps."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        return shutil.which(chosen)
    for name in NAMES:
        found = shutil.which(name) or shutil.which(f"/usr/bin/{name}")
        if found:
            return found
    return _find_playwrights()


def _find_playwrights() -> str | None:
    kept = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright"
    found = sorted(Path(kept).glob("chromium-*/chrome-linux*/chrome"))
    return str(found[-1]) if found else None


def main() -> int:
    """Make sure there is a Chromium that starts; 1 with a sentence where there is none."""
    path = find_chromium()
    if path is None and not os.environ.get("CHROMIUM"):
        fetch = [sys.executable, "-m", "playwright", "install", "chromium"]
        subprocess.run(fetch, check=False, capture_output=True)
        path = find_chromium()
    if path is None:
        print(SORRY, file=sys.stderr)
        return 1
    shown = subprocess.run([path, "--version"], check=False, capture_output=True, text=True)
    if shown.returncode != 0:
        print(f"{path} does not start. {SORRY}", file=sys.stderr)
        return 1
    print(f"{shown.stdout.strip()} at {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
