"""Tasks that hurt end as they should, and hurt neither the worker nor the jobs beside them."""

from collections.abc import Iterator

import pytest

from tests.acceptance.support import Jobs
from tests.faults.corpus import deadly, poison
from tests.faults.corpus.rig import Verdict
from tests.fixtures.databases import Database

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def feeder(db: Database) -> Iterator[poison.Feeder]:
    jobs = Jobs(db.dsn)
    yield poison.Feeder(jobs)
    jobs.close()


def survived(found: list[Verdict], kinds: int) -> None:
    assert [one for one in found if not one.ok] == []
    assert len(found) == kinds


def test_tasks_that_kill_their_process(feeder: poison.Feeder) -> None:
    survived(feeder.deadly(poison.DEADLY), len(poison.DEADLY))


@pytest.mark.skipif(not deadly.can_limit_memory(), reason="needs root and a memory cgroup")
def test_a_task_that_runs_out_of_memory(feeder: poison.Feeder) -> None:
    with deadly.memory_cgroup(poison.CGROUP):
        survived(feeder.deadly([poison.OUT_OF_MEMORY]), 1)


def test_tasks_that_do_not_end(feeder: poison.Feeder) -> None:
    survived(feeder.hanging(poison.HANGING), len(poison.HANGING))


def test_tasks_that_end_badly(feeder: poison.Feeder) -> None:
    survived(feeder.ending(poison.FAILING), len(poison.FAILING))


def test_tasks_that_leave_things_behind(feeder: poison.Feeder) -> None:
    survived(feeder.ending(poison.LITTERING), len(poison.LITTERING))
