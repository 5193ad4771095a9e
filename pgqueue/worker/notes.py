"""What running jobs say of themselves: progress and lines of a log, sent a few times a second.

It travels as an answer without jobs, so that the supervisor writes it down with the outcomes of the
same moment, and what a job logs before it ends is there when its end is.
"""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import orjson

from pgqueue.worker.execution import Ticket
from pgqueue.worker.frames import Answer, pack_answer

#: Seconds between two frames.
_EVERY: Final = 0.25
#: Lines of an attempt that are kept.
_MOST_LINES: Final = 500


class Notes:
    """Gather what jobs say, and send it to the supervisor.

    Args:
        send: sends a frame, whoever else does meanwhile.
        nudge: makes whoever calls `flush_due` look when it is to be called.
    """

    def __init__(self, send: Callable[[bytes], None], nudge: Callable[[], None]) -> None:
        self._send = send
        self._nudge = nudge
        self._guard = threading.Lock()
        #: Held from when lines are taken to be sent until they are: the answer of a job must not
        #: overtake what it has said, which would be dropped then.
        self._sending = threading.Lock()
        #: By batch and job, the last word of each.
        self._progress: dict[tuple[int, int], dict[str, Any]] = {}
        self._lines: dict[tuple[int, int], list[dict[str, Any]]] = {}
        #: How many lines the attempts have that log.
        self._counts: dict[tuple[int, int], int] = {}
        self._sent_at = float("-inf")

    @property
    def due_in(self) -> float | None:
        """Seconds until something is to be sent; None while there is nothing."""
        if not (self._progress or self._lines):
            return None
        return max(0.0, self._sent_at + _EVERY - monotonic())

    def progress(self, ticket: Ticket, fraction: float, text: str) -> None:
        """Take how far a job is."""
        said = {"id": ticket.job_id, "fraction": fraction, "note": text or None}
        with self._guard:
            first = not (self._progress or self._lines)
            self._progress[ticket.batch_no, ticket.job_id] = said
        if first:
            self._nudge()

    def log(self, ticket: Ticket, level: str, message: str) -> None:
        """Take a line."""
        key = ticket.batch_no, ticket.job_id
        with self._guard:
            number = self._counts.get(key, 0) + 1
            self._counts[key] = number
            if number > _MOST_LINES:
                return
            first = not (self._progress or self._lines)
            if number == _MOST_LINES:
                level, message = "warning", "this attempt logs more lines than are kept"
            line = {"id": ticket.job_id, "n": number, "level": level, "message": message}
            self._lines.setdefault(key, []).append(line)
        if first:
            self._nudge()

    def flush_due(self) -> None:
        """Send what there is, if it is time."""
        due = self.due_in
        if due is not None and due <= 0:
            with self._sending:
                self._send_all()

    def flush_of(self, ticket: Ticket) -> None:
        """Send what there is if this job, which has ended, has something to say."""
        key = ticket.batch_no, ticket.job_id
        with self._guard:
            self._counts.pop(key, None)
        with self._sending:
            if key in self._progress or key in self._lines:
                self._send_all()

    def _send_all(self) -> None:
        with self._guard:
            progress, self._progress = self._progress, {}
            lines, self._lines = self._lines, {}
            self._sent_at = monotonic()
        batches: dict[int, list[dict[str, Any]]] = {}
        for (batch_no, _), said in progress.items():
            batches.setdefault(batch_no, []).append(said)
        for (batch_no, _), told in lines.items():
            batches.setdefault(batch_no, []).extend(told)
        for batch_no, notes in batches.items():
            document = orjson.dumps({"batch": batch_no, "notes": notes})
            answer = Answer(batch_no=batch_no, ids=[], started=0, busy_us=0, document=document)
            self._send(pack_answer(answer))
