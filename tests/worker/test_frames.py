"""Frames between supervisor and child, and the memory they share."""

import random
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.worker.frames import (
    Answer,
    FrameReader,
    Kind,
    Slots,
    SlotState,
    pack,
    pack_answer,
    pack_batch,
    pack_ids,
    unpack_answer,
    unpack_batch,
    unpack_ids,
)

_IDS = st.lists(st.integers(1, 2**63 - 1))


@given(_IDS)
def test_ids_go_round(ids: list[int]) -> None:
    assert unpack_ids(pack_ids(ids)) == ids


@given(st.integers(0, 2**63), st.binary())
def test_a_batch_goes_round(batch_no: int, payload: bytes) -> None:
    ((kind, body),) = FrameReader().feed(pack_batch(batch_no, 3, payload))
    assert kind is Kind.BATCH
    assert unpack_batch(body) == (batch_no, 3, payload)


@given(
    st.integers(0, 2**63),
    _IDS,
    st.integers(0, 500),
    st.integers(0, 2**63),
    st.binary(),
    st.booleans(),
)
def test_an_answer_goes_round(
    batch_no: int, ids: list[int], started: int, busy: int, document: bytes, unsure: bool
) -> None:
    answer = Answer(
        batch_no=batch_no,
        ids=ids,
        started=started,
        busy_us=busy,
        document=document,
        unsure=unsure,
    )
    ((kind, body),) = FrameReader().feed(pack_answer(answer))
    assert kind is Kind.ANSWER
    assert unpack_answer(body) == answer


@given(
    st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=300)), max_size=20),
    st.randoms(use_true_random=False),
)
def test_frames_are_found_however_the_bytes_come(
    frames: list[tuple[Kind, bytes]], chance: random.Random
) -> None:
    stream = b"".join(pack(kind, body) for kind, body in frames)
    reader = FrameReader()
    found: list[tuple[Kind, bytes]] = []
    while stream:
        cut = chance.randint(1, len(stream))
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert found == frames


def test_an_unknown_kind_is_no_frame() -> None:
    with pytest.raises(ValueError, match="99"):
        list(FrameReader().feed(b"\x63\0\0\0\0"))


@pytest.fixture
def slots() -> Iterator[tuple[Slots, Slots]]:
    """The memory as the child and as the supervisor sees it."""
    with tempfile.TemporaryFile() as memory:
        memory.truncate(Slots.size(3))
        ours, theirs = (Slots(memory.fileno(), 3) for _ in range(2))
        yield ours, theirs
        ours.close()
        theirs.close()


def test_the_supervisor_sees_what_the_slots_do(slots: tuple[Slots, Slots]) -> None:
    child, supervisor = slots
    assert (supervisor.started, supervisor.read()) == (0, [])
    child.set_started(2**40)
    child.enter(0, 7, 1.5, 0.0, -1.0)
    child.enter(2, 2**62, 2.5, 3.5, 60.0)
    assert supervisor.started == 2**40
    assert supervisor.read() == [
        SlotState(7, 1.5, 0.0, -1.0),
        SlotState(2**62, 2.5, 3.5, 60.0),
    ]
    child.leave(0)
    assert [slot.job_id for slot in supervisor.read()] == [2**62]
    child.enter(2, 8, 0.0, 0.0, -1.0)
    assert [slot.job_id for slot in supervisor.read()] == [8]
