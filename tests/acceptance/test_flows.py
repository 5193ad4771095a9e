"""Groups, chains, flows and callbacks with real workers, which are killed in the middle."""

from collections.abc import Iterator

import pytest

import pgqueue
from pgqueue import Flow, JobFailedError, PgQueue, default_app, set_default_app
from tests.acceptance import flow_tasks as tasks
from tests.acceptance.support import Jobs, closed_gate, presume_lost
from tests.fixtures.databases import Database
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import eventually

APP = "tests.acceptance.flow_tasks"


@pytest.fixture(autouse=True)
def app(db: Database, jobs: Jobs) -> Iterator[PgQueue]:
    jobs.make_notes()
    before = default_app()
    with PgQueue(db.dsn) as made:
        set_default_app(made)
        yield made
    set_default_app(before)


def test_everything_once_around(worker: StartWorker, jobs: Jobs) -> None:
    worker("--processes", "1", "--threads", "2", app=APP)
    # A chain, whose jobs are given the result of the one before.
    chain = pgqueue.chain(tasks.add.job(1, 2), tasks.add.job(10), tasks.add.job(100)).enqueue()
    assert chain.results(timeout=60) == [3, 13, 113]
    # A flow, with a join, a fallback that is not needed, and a callback.
    flow = Flow("sums", on_success=tasks.told.job(word="all"))
    first = flow.add(tasks.add.job(1))
    second = flow.add(tasks.add.job(2))
    flow.add(tasks.total.job(more=4), after=[first, second], results="list", name="total")
    flow.add(
        tasks.told.job({"result": 0, "state": ""}), after="total", run_if="failed", results=None
    )
    done = flow.enqueue()
    found = done.results(timeout=60, return_errors=True)
    assert found[:3] == [1, 2, 7]
    assert isinstance(found[3], JobFailedError)
    assert done.progress().skipped == 1
    eventually(lambda: "all: group sums succeeded" in jobs.notes())
    # map(), and callbacks of a job.
    assert tasks.add.map([(1, 1), 2, (1, 2, 3)]).results(timeout=60) == [2, 2, 6]
    one = tasks.add.using(on_success=tasks.told, on_failure=tasks.fail).enqueue(5)
    assert one.result(timeout=60) == 5
    eventually(lambda: "told: job 5 succeeded" in jobs.notes())


def test_a_flow_goes_on_from_where_it_failed(worker: StartWorker, jobs: Jobs) -> None:
    worker("--processes", "1", "--threads", "2", app=APP)
    flow = Flow(on_failure=tasks.told, on_finish=tasks.told.job(word="end"), name="f")
    good = flow.add(tasks.add.job(1))
    bad = flow.add(tasks.fail.job(), after=good)
    flow.add(tasks.add.job(), after=bad)
    flow.add(tasks.add.job(7), after=bad, run_if="failed", results=None)
    group = flow.enqueue()
    with pytest.raises(JobFailedError, match="as it was told to"):
        group.results(timeout=60)
    progress = group.progress()
    assert (progress.succeeded, progress.failed, progress.cancelled) == (2, 1, 1)
    eventually(lambda: sorted(jobs.notes()) == ["end: group f failed", "told: group f failed"])
    assert group.retry() == 2
    assert group.wait(timeout=60).state == "failed"
    assert jobs.look(group.job_ids[0])["attempt"] == 1
    assert jobs.look(group.job_ids[1])["attempt"] == 2
    eventually(lambda: len(jobs.notes()) == 4)


def test_a_running_job_puts_others_before_those_behind_it(worker: StartWorker) -> None:
    worker("--processes", "1", "--threads", "2", app=APP)
    group = pgqueue.chain(tasks.split.job(5), tasks.add.job(1)).enqueue()
    assert group.wait(timeout=60).total == 7
    results = pgqueue.default_app().get_group(group.id).results()
    assert results == [5, 6, 0, 1, 2, 3, 4]
    last = group.job_ids[1]
    rows = group._clients.sync.list_jobs(task="tests.acceptance.flow_tasks.add")
    by_id = {job.id: job for job in rows}
    assert all(
        job.finished_at is not None
        and job.finished_at <= (by_id[last].started_at or job.created_at)
        for job in rows
        if job.id != last
    )


def lose(jobs: Jobs, running: RunningWorker) -> None:
    """Kill a worker whose jobs wait at the gate, and let the next one have them."""
    running.kill()
    jobs.wait_at_gate(1, 0)
    presume_lost(jobs, running)


def test_callbacks_fire_once_though_workers_are_killed(
    worker: StartWorker, jobs: Jobs, db: Database
) -> None:
    with closed_gate(db, 1) as gate, pgqueue.group("g", on_finish=tasks.told) as group:
        first = worker("--processes", "1", "--threads", "4", app=APP)
        for _ in range(4):
            tasks.gated.using(group=group, on_finish=tasks.told).enqueue(1)
        for number in range(200):
            tasks.add.using(group=group).enqueue(number)
        jobs.wait_at_gate(1, 4)
        lose(jobs, first)
        second = worker("--processes", "1", "--threads", "4", app=APP)
        jobs.wait_at_gate(1, 4)
        lose(jobs, second)
        third = worker("--processes", "2", "--threads", "4", app=APP)
        jobs.wait_at_gate(1, 4)
        gate.open()
    progress = group.wait(timeout=60)
    assert (progress.state, progress.total, progress.succeeded) == ("succeeded", 204, 204)
    eventually(lambda: len(jobs.notes()) == 5)
    assert third.stop() == 0
    assert sorted(jobs.notes()) == ["told: group g succeeded"] + 4 * ["told: job 1 succeeded"]
    assert jobs.problems() == []


def test_batch_tasks_fill_their_calls_and_part_from_poison(worker: StartWorker, jobs: Jobs) -> None:
    name = "tests.acceptance.batch_tasks."
    many = jobs.add_many(300, name + "sizes")
    good = [jobs.add(name + "kill_or_note", n) for n in range(20)]
    bad = jobs.add(name + "kill_or_note", "kill")
    worker("--processes", "1", "--threads", "1", app="tests.acceptance.batch_tasks")
    jobs.wait_all(many)
    sizes = [int(jobs.look(job)["result"]) for job in many]
    assert sum(sizes) / len(sizes) > 50, sizes
    jobs.wait_all(good)
    assert jobs.wait(bad, "failed")["error"].startswith("crash_loop")
    # One whose answer had not left yet when the next one killed their process runs again.
    assert set(jobs.notes()) == {str(n) for n in range(20)}
