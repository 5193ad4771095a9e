"""What happened, as it happened: append-only JSON lines, one file a process, on one time line.

Every process of a campaign (the campaign itself, producers, children) writes before and after each
externally visible step, and each line is handed to the operating system at once, so that it
survives a SIGKILL of its writer. Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a
machine share. `w` is the wall clock, for comparing with what the server says.

| event | written by | fields |
| --- | --- | --- |
| `enq.invoke` `enq.ok` `enq.abort` `enq.unknown` | producer | `keys`, `tx`; ok: `ids` |
| `start` `tick` `end` | the job's function | `key`, `attempt`, `pid`, `boss`; end: `how` |
| `claim` | a worker written in SQL | `limit`, `ids` |
| `fault.on` `fault.off` | the campaign | `what`, `scope`, `targets` (process ids) |
| `proc.dead` `proc.exit` | the campaign | `pid`; exit (by itself): `code` |
| `proc.fenced` | the campaign, from the logs | `pid` that its own supervisor killed in time |
| `surprise` | anybody | `what`: an error that no fault explains |
| `refused` | the campaign, from the logs | `n` outcomes that came too late |
| `final.*` | the campaign | rows of the tables at the end, see `dump.py` |
"""

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]

#: Environment variable that tells child processes where to write.
VARIABLE = "PGQUEUE_FAULTS_HISTORY"


class History:
    """The file of one process; each line is one `write()`, whole or not at all.

    Args:
        directory: where all files of a run are.
        name: of this process; its id and a number are added.
    """

    def __init__(self, directory: Path | str, name: str) -> None:
        self.pid = os.getpid()
        path = Path(directory) / f"{name}-{self.pid}-{time.monotonic_ns()}.jsonl"
        # O_APPEND: lines of several threads do not mix.
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: str, *, moment: int | None = None, **fields: Any) -> None:
        """Write one event, of now unless told otherwise."""
        now = time.monotonic_ns() if moment is None else moment
        line = {"e": event, "t": now, "w": _wall(), **fields}
        os.write(self._fd, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)


# Where a process is given a wrong clock, what must be added to the monotonic one for the right one.
_right = float(os.environ.get("PGQUEUE_FAULTS_WALL", "nan"))


def _wall() -> float:
    return time.time() if math.isnan(_right) else time.monotonic() + _right


_own: History | None = None


def own(name: str = "child") -> History:
    """Give the history of this process, where the environment says; a fork gets one of its own."""
    global _own
    if _own is None or _own.pid != os.getpid():
        _own = History(os.environ[VARIABLE], name)
    return _own


def read(directory: Path | str) -> list[Event]:
    """Read the events of all processes, in order of time."""
    found = [event for path in Path(directory).glob("*.jsonl") for event in _lines(path)]
    return sorted(found, key=lambda event: int(event["t"]))


def _lines(path: Path) -> Iterator[Event]:
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            # The last line of a process that was killed on a full disk; a campaign has none.
            continue
