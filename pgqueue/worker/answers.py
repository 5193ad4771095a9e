"""The answers of a child: outcomes gathered by batch, sent in pieces."""

import enum
import os
import socket
import threading
from collections.abc import Iterable
from time import monotonic

from pgqueue.worker.execution import Ticket, record_state
from pgqueue.worker.frames import Answer, Kind, pack, pack_answer


class _Kind(enum.Enum):
    """What is sent apart, since it is not all alike to the supervisor."""

    TOLD = enum.auto()
    #: May be refused: the job may be finished already.
    UNSURE = enum.auto()
    #: Finished already; there is nothing to write down.
    STORED = enum.auto()


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
        self._pieces: dict[tuple[int, _Kind], _Piece] = {}
        self._sending = threading.Lock()
        self.last_sent = 0.0

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._pieces)

    def hello(self) -> None:
        """Say that this child is ready."""
        self._send(pack(Kind.HELLO))

    def send(self, frame: bytes) -> None:
        """Send a frame that is no outcome."""
        with self._sending:
            self._send(frame)

    def worn(self) -> None:
        """Ask for another child in place of this one."""
        with self._sending:
            self._send(pack(Kind.WORN))

    def tell(self, ticket: Ticket, written: bytes | None, us: int, *, unsure: bool = False) -> None:
        """Keep the outcome of a job until `flush`.

        Args:
            written: what is to be stored; None for a success without a result.
            us: microseconds it took.
            unsure: whether the job may be finished already, so that this is refused.
        """
        with self._sending:
            piece = self._begun(ticket, us, _Kind.UNSURE if unsure else _Kind.TOLD)
            if written is None:
                piece.done.append(ticket.job_id)
                piece.took.append(us)
            else:
                piece.written.append(written)

    def tell_stored(self, ticket: Ticket, us: int) -> None:
        """Say of a job that it is finished already, by a transaction of its own."""
        with self._sending:
            self._begun(ticket, us, _Kind.STORED)

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
            self.last_sent = monotonic()
            for (batch_no, kind), piece in pieces.items():
                self._send(
                    pack_answer(
                        Answer(
                            batch_no=batch_no,
                            ids=piece.ids,
                            started=piece.started,
                            busy_us=piece.busy,
                            document=(b"" if kind is _Kind.STORED else piece.document(batch_no)),
                            unsure=kind is _Kind.UNSURE,
                        )
                    )
                )

    def _begun(self, ticket: Ticket, us: int, kind: _Kind) -> _Piece:
        piece = self._piece(ticket.batch_no, kind)
        piece.ids.append(ticket.job_id)
        piece.started += 1
        piece.busy += us
        return piece

    def _piece(self, batch_no: int, kind: _Kind = _Kind.TOLD) -> _Piece:
        found = self._pieces.get((batch_no, kind))
        if found is None:
            found = self._pieces[batch_no, kind] = _Piece()
        return found

    def _send(self, frame: bytes) -> None:
        try:
            self._connection.sendall(frame)
        except OSError:
            os._exit(0)
