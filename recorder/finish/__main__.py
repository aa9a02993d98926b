"""``python -m recorder.finish DIRECTORY``: one finish job, spoken to by lines of JSON.

Prints ``{"progress": 0.42}`` while it works, ``{"tracks": […]}`` when those can be played, and at
the end ``{"result": …}`` or ``{"error": …}``.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from recorder.errors import FinishError, disk_reason
from recorder.finish.job import finish_recording

_NICENESS = 15


def main(directory: Path) -> int:
    """Run the job; 0 = done, 1 = failed with an error that was printed."""
    # Forwarding comes first on a busy machine.
    os.nice(_NICENESS)
    try:
        result = finish_recording(
            directory,
            lambda part: _say({"progress": round(part, 3)}),
            lambda tracks: _say({"tracks": [asdict(track) for track in tracks]}),
        )
    except FinishError as error:
        _say({"error": {"code": error.code, "message": str(error)}})
        return 1
    except OSError as error:
        _say({"error": {"code": disk_reason(error), "message": str(error)}})
        return 1
    _say({"result": json.loads(result.to_json())})
    return 0


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
