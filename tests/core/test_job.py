"""Tests of the values that describe jobs, workers and queues."""

import dataclasses
import datetime as dt

import pytest

from pgqueue.core import job
from pgqueue.core.job import Job
from pgqueue.core.states import FINAL, JobState

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def test_a_job_needs_only_what_every_job_has() -> None:
    one = Job(id=1, task="mail.send", state=JobState.READY, created_at=NOW)
    assert (one.queue, one.priority, one.args, one.kwargs, one.attempt) == ("default", 0, (), {}, 0)


@pytest.mark.parametrize("state", JobState)
def test_a_job_is_final_in_a_final_state(state: JobState) -> None:
    one = Job(id=1, task="mail.send", state=state, created_at=NOW)
    assert one.is_final == (state in FINAL)


@pytest.mark.parametrize("kind", [job.Job, job.FailedAttempt, job.WorkerInfo, job.QueueInfo])
def test_values_are_frozen_slotted_and_keyword_only(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert "__slots__" in vars(kind)
    assert all(field.kw_only for field in dataclasses.fields(kind))
    with pytest.raises(TypeError):
        kind(1)


def test_a_job_cannot_be_changed() -> None:
    one = Job(id=1, task="mail.send", state=JobState.READY, created_at=NOW)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.priority = 5  # type: ignore[misc]
