"""The answers of a child: outcomes gathered by batch, sent in pieces."""

import os
import socket
import threading
import time
from collections.abc import Iterable

from pgqueue.worker.execution import Ticket, record_state
from pgqueue.worker.frames import Answer, Kind, pack, pack_answer


class _Piece:
    """Outcomes of one batch that wait to be sent."""

    __slots__ = ("busy", "done", "ids", "started", "took", "written")

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.started = 0
        self.busy = 0
        self.done: list[int] = []
        self.took: list[int] = []
        self.written: list[bytes] = []

    def document(self, batch_no: int) -> bytes:
        return b'{"batch":%d,"ok":"{%s}","us":"{%s}","rest":[%s]}' % (
            batch_no,
            ",".join(map(str, self.done)).encode(),
            ",".join(map(str, self.took)).encode(),
            b",".join(self.written),
        )


class Answers:
    """Gather outcomes and send them to the supervisor; its end is the end of this process.

    Args:
        connection: the socket to the supervisor.

    Attributes:
        last_sent: when `flush` was last called, by `time.monotonic`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pieces: dict[int, _Piece] = {}
        self._sending = threading.Lock()
        self.last_sent = 0.0

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._pieces)

    def hello(self) -> None:
        """Say that this child is ready."""
        self._send(pack(Kind.HELLO))

    def worn(self) -> None:
        """Ask for another child in place of this one."""
        with self._sending:
            self._send(pack(Kind.WORN))

    def tell(self, ticket: Ticket, written: bytes | None, us: int) -> None:
        """Keep the outcome of a job, None for a success without a result, until `flush`."""
        with self._sending:
            piece = self._piece(ticket.batch_no)
            piece.ids.append(ticket.job_id)
            piece.started += 1
            piece.busy += us
            if written is None:
                piece.done.append(ticket.job_id)
                piece.took.append(us)
            else:
                piece.written.append(written)

    def give_back(self, tickets: Iterable[Ticket]) -> None:
        """Say of jobs that they were not started."""
        with self._sending:
            for ticket in tickets:
                piece = self._piece(ticket.batch_no)
                piece.ids.append(ticket.job_id)
                piece.written.append(record_state(ticket.job_id, "unstarted"))

    def flush(self) -> None:
        """Send what there is."""
        with self._sending:
            pieces, self._pieces = self._pieces, {}
            self.last_sent = time.monotonic()
            for batch_no, piece in pieces.items():
                self._send(
                    pack_answer(
                        Answer(
                            batch_no=batch_no,
                            ids=piece.ids,
                            started=piece.started,
                            busy_us=piece.busy,
                            document=piece.document(batch_no),
                        )
                    )
                )

    def _piece(self, batch_no: int) -> _Piece:
        found = self._pieces.get(batch_no)
        if found is None:
            found = self._pieces[batch_no] = _Piece()
        return found

    def _send(self, frame: bytes) -> None:
        try:
            self._connection.sendall(frame)
        except OSError:
            os._exit(0)
