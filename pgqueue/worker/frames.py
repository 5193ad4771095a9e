"""What travels between supervisor and child, and the memory they share.

A frame is a kind, a length and bytes. The supervisor never opens the payload of a batch nor the
JSON of an answer; what it must know (which jobs, how long) stands before it in plain numbers.

The shared memory tells the supervisor what a child is doing at this moment, even after it was
killed: a counter of jobs started, and for each slot the job it runs, its deadline and what is to
happen when the deadline is broken.
"""

import enum
import mmap
import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


class Kind(enum.IntEnum):
    """What a frame is."""

    #: To the child: a batch of jobs.
    BATCH = 1
    #: To the child: give back what has not started.
    RETURN = 2
    #: To the child: these jobs should stop.
    CANCEL = 3
    #: To the child: finish what runs, then exit.
    QUIT = 4
    #: From the child: it is ready.
    HELLO = 5
    #: From the child: the outcomes of some jobs.
    ANSWER = 6
    #: From the child: it has been left too much to go on well, and should be replaced.
    WORN = 7
    #: From the child: a call of a batch task waits for so many more jobs.
    WANT = 8


_HEAD = struct.Struct("!BI")
_BATCH = struct.Struct("!QQ")
_ANSWER = struct.Struct("!QIIQ?")
_COUNTER = struct.Struct("=Q")
_SLOT = struct.Struct("=qddd")


def pack(kind: Kind, *parts: bytes) -> bytes:
    """Make one frame."""
    body = b"".join(parts)
    return _HEAD.pack(kind, len(body)) + body


def pack_batch(batch_no: int, worker_id: int, payload: bytes) -> bytes:
    """Make the frame that carries a batch: one JSON line a job, see `pgqueue.claim`."""
    return pack(Kind.BATCH, _BATCH.pack(batch_no, worker_id), payload)


def unpack_batch(body: bytes) -> tuple[int, int, bytes]:
    """Give batch number, worker and payload of a batch frame."""
    batch_no, worker_id = _BATCH.unpack_from(body)
    return batch_no, worker_id, body[_BATCH.size :]


def pack_ids(ids: Sequence[int]) -> bytes:
    """Write job ids as eight bytes each."""
    return array("q", ids).tobytes()


def unpack_ids(body: bytes) -> list[int]:
    """Read job ids."""
    found = array("q")
    found.frombytes(body)
    return found.tolist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcomes of some jobs of one batch.

    Attributes:
        batch_no: the claim they came with.
        ids: the jobs.
        started: how many of them were started (the others go back).
        busy_us: microseconds the tasks took, all together.
        document: one object for `pgqueue.store_outcomes`, JSON; empty when the jobs are finished
            already, by transactions of their own.
        unsure: whether it may well be refused, its jobs being finished already.
    """

    batch_no: int
    ids: list[int]
    started: int
    busy_us: int
    document: bytes
    unsure: bool = False


def pack_answer(answer: Answer) -> bytes:
    """Make the frame that carries an answer."""
    return pack(
        Kind.ANSWER,
        _ANSWER.pack(
            answer.batch_no, len(answer.ids), answer.started, answer.busy_us, answer.unsure
        ),
        pack_ids(answer.ids),
        answer.document,
    )


def unpack_answer(body: bytes) -> Answer:
    """Read an answer frame."""
    batch_no, count, started, busy_us, unsure = _ANSWER.unpack_from(body)
    end = _ANSWER.size + 8 * count
    return Answer(
        batch_no=batch_no,
        ids=unpack_ids(body[_ANSWER.size : end]),
        started=started,
        busy_us=busy_us,
        document=body[end:],
        unsure=unsure,
    )


class FrameReader:
    """Cut a stream of bytes into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Take bytes as they came and give the frames that are whole."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _HEAD.size:
            kind, size = _HEAD.unpack_from(buffer, start)
            end = start + _HEAD.size + size
            if len(buffer) < end:
                break
            yield Kind(kind), bytes(buffer[start + _HEAD.size : end])
            start = end
        if start:
            del buffer[:start]


@dataclass(frozen=True, slots=True)
class SlotState:
    """What a slot does: job, since when, until when (`time.monotonic`, 0 for no limit), and the
    seconds until the next attempt if the limit is broken (below 0: the job fails)."""

    job_id: int
    started: float
    deadline: float
    retry_in: float


class Slots:
    """The shared memory of one child.

    Args:
        fd: a file of `Slots.size(count)` bytes.
        count: slots of the child.
    """

    __slots__ = ("_map", "count")

    def __init__(self, fd: int, count: int) -> None:
        self._map = mmap.mmap(fd, self.size(count))
        self.count = count

    @staticmethod
    def size(count: int) -> int:
        """How many bytes a child with so many slots needs."""
        return _COUNTER.size + count * _SLOT.size

    def set_started(self, total: int) -> None:
        """Say how many jobs were started in all."""
        _COUNTER.pack_into(self._map, 0, total)

    @property
    def started(self) -> int:
        """How many jobs were started in all."""
        return int(_COUNTER.unpack_from(self._map, 0)[0])

    def enter(
        self, slot: int, job_id: int, started: float, deadline: float, retry_in: float
    ) -> None:
        """Say that a slot runs a job."""
        _SLOT.pack_into(
            self._map, _COUNTER.size + slot * _SLOT.size, job_id, started, deadline, retry_in
        )

    def leave(self, slot: int) -> None:
        """Say that a slot is free."""
        _SLOT.pack_into(self._map, _COUNTER.size + slot * _SLOT.size, 0, 0.0, 0.0, 0.0)

    def read(self) -> list[SlotState]:
        """Give the slots that run a job."""
        found = _SLOT.iter_unpack(self._map[_COUNTER.size :])
        return [SlotState(*values) for values in found if values[0]]

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()
