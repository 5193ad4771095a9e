"""Running jobs that are cancelled while they can be told: how they end, and nobody else."""

from pathlib import Path

import pytest

from tests.acceptance.support import Jobs, children, stop
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

APP = "tests.worker.hostile_tasks"


def cancel(jobs: Jobs, job: int, reason: str = "enough") -> None:
    assert jobs.value("SELECT pgqueue.cancel(%s, %s)", job, reason) == "running"


def test_coroutines_beside_each_other(jobs: Jobs, worker: StartWorker, tmp_path: Path) -> None:
    begun = [tmp_path / f"begun-{n}" for n in range(4)]
    ids = [jobs.add(f"{APP}.wait_begun", str(path)) for path in begun]
    running = worker("--processes", "1", "--threads", "4", "--cancel-grace", "600", app=APP)
    eventually(lambda: all(path.exists() for path in begun))
    (child,) = children(running)
    for job in ids[1:3]:
        cancel(jobs, job)
        found = jobs.wait(job, "cancelled")
        assert found["error"] == "cancelled: enough"
        assert (found["attempt"], found["crashes"]) == (1, 0)
        assert jobs.errors(job) == []
    assert {jobs.state(job) for job in (ids[0], ids[3])} == {"running"}
    for job in (ids[0], ids[3]):
        cancel(jobs, job)
    jobs.wait_all(ids, "cancelled")
    assert children(running) == [child], "nobody had to be killed"
    stop(running)


@pytest.mark.parametrize("task", ["raise_when_cancelled", "fail_when_cancelled"])
def test_an_error_after_the_request_is_kept(
    task: str, jobs: Jobs, worker: StartWorker, tmp_path: Path
) -> None:
    more = ["error"] if task == "raise_when_cancelled" else []
    job = jobs.add(f"{APP}.{task}", str(tmp_path / "begun"), *more)
    running = worker("--processes", "1", app=APP)
    eventually((tmp_path / "begun").exists)
    cancel(jobs, job)
    assert jobs.wait(job, "cancelled")["error"] == "cancelled: enough"
    (error,) = jobs.errors(job)
    assert (error["kind"], error["message"]) == ("ValueError", "while stopping")
    stop(running)


def test_one_that_goes_on_and_returns(jobs: Jobs, worker: StartWorker, tmp_path: Path) -> None:
    begun, release = tmp_path / "begun", tmp_path / "release"
    job = jobs.add(f"{APP}.swallow", str(begun), str(release))
    running = worker("--processes", "1", app=APP)
    eventually(begun.exists)
    cancel(jobs, job)
    release.touch()
    assert jobs.wait(job)["result"] == "went on"
    eventually(lambda: jobs.query("SELECT * FROM pgqueue.cancel_requests") == [])
    stop(running)


def test_those_that_wait_in_the_child(jobs: Jobs, worker: StartWorker, tmp_path: Path) -> None:
    """Taken, but behind a long one: they end as cancelled, and no attempt was made."""
    begun, release = tmp_path / "begun", tmp_path / "release"
    warm = jobs.add_many(300, f"{APP}.pid")
    running = worker("--processes", "1", app=APP)
    # From here on the child is given many jobs ahead.
    jobs.wait_all(warm)
    with jobs.connection.transaction():
        first = jobs.add(f"{APP}.hold", str(begun), str(release))
        behind = [jobs.add(f"{APP}.touch", str(tmp_path / f"touched-{n}")) for n in range(5)]
    eventually(begun.exists)
    for job in behind:
        # It may have been given back already, since the one before it takes so long.
        assert jobs.value("SELECT pgqueue.cancel(%s)", job) in ("running", "cancelled")
    jobs.wait_all(behind, "cancelled")
    assert {jobs.look(job)["attempt"] for job in behind} == {0}
    release.touch()
    jobs.wait(first)
    assert list(tmp_path.glob("touched-*")) == []
    stop(running)
