"""Replies that are lost, and calls that come late: nothing is left behind, nor told twice."""

import asyncio
import os
import re
import signal

import pytest

from pgqueue.core.errors import LeaseLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session
from tests.acceptance.support import Jobs, presume_lost, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import PATIENCE, eventually


def warnings(running: RunningWorker) -> list[str]:
    return re.findall(r"(?:WARNING|ERROR) pgqueue\.worker (.*)", running.log())


@pytest.mark.parametrize(
    ("name", "how", "most_lost"),
    [
        ("after_claim", "drop@2", 0),
        ("before_finish", "drop@2", 0),
        ("finish_reply_lost", "drop@2", 0),
        ("after_finish", "drop@2", 0),
        ("after_listen", "drop@1", 0),
        ("before_listen", "drop@1", 0),
        ("sweep_mid_batch", "drop@1", 0),
    ],
)
def test_a_connection_is_lost_at_a_place(
    name: str, how: str, most_lost: int, jobs: Jobs, worker: StartWorker
) -> None:
    env = {"PGQUEUE_FAILPOINTS": f"{name}={how}", "PGQUEUE_FAILPOINTS_SEED": "1"}
    jobs.make_notes()
    noted = [jobs.add("note_it", str(number)) for number in range(20)]
    ids = jobs.add_many(1000, "noop")
    running = worker("--processes", "2", "--fallback", "600", env=env)
    jobs.wait_all([*noted, *ids])
    # A job that has started is never started again because of a connection.
    assert sorted(jobs.notes(), key=int) == [str(number) for number in range(20)]
    found = jobs.query("SELECT DISTINCT attempt, lost FROM pgqueue.finished_jobs")
    assert found == [{"attempt": 1, "lost": most_lost}]
    # Also where the jobs were faster than the listener or the leader.
    eventually(lambda: warnings(running))
    jobs.wait(jobs.add("noop"))
    counted = stop(running)
    assert counted["reconnects"] >= 1
    assert (counted["lost_leases"], counted["by_fallback"]) == (0, 0)
    # The leader may meet the connection that the fetcher lost.
    said = warnings(running)
    assert all("dropped by failpoint" in line or "is gone" in line for line in said), said
    assert len(said) <= 2, said


@pytest.mark.parametrize(
    ("name", "how"),
    [("after_claim", "kill9@2"), ("finish_reply_lost", "kill9@2"), ("sweep_mid_batch", "kill9")],
)
def test_a_supervisor_dies_at_a_place(name: str, how: str, jobs: Jobs, worker: StartWorker) -> None:
    """Another one takes over; what was stored stays stored."""
    ids = jobs.add_many(50, "noop")
    env = {"PGQUEUE_FAILPOINTS": f"{name}={how}"}
    dies = worker("--processes", "1", env=env, ready=False)
    assert dies.process.wait(PATIENCE) == -signal.SIGKILL
    presume_lost(jobs, dies)
    running = worker("--processes", "1")
    jobs.wait_all(ids)
    wrong = jobs.query("SELECT job_id FROM pgqueue.finished_jobs WHERE attempt - lost > 1")
    assert wrong == []
    assert jobs.problems() == []
    stop(running)


def test_a_call_that_comes_after_its_connection_was_given_up(db: Database, jobs: Jobs) -> None:
    """The claim was in a proxy, or in the kernel, when held() was asked on the next connection."""
    jobs.add_many(3, "noop")

    async def main() -> None:
        late, next_one = await Session.open(db.dsn), await Session.open(db.dsn)
        worker_id = await worker_calls.register(
            next_one, name="w", queues=b"{*}", hostname="", pid=1, processes=1, threads=1,
            version="", lease=30,
        )  # fmt: skip
        os.kill(late.backend_pid, signal.SIGSTOP)
        claim = asyncio.ensure_future(
            worker_calls.work(late, worker_id, 7, b"{*}", 2, [], None, 1 << 20)
        )
        await asyncio.sleep(0)
        assert await worker_calls.held(next_one, worker_id, 7) == {}
        os.kill(late.backend_pid, signal.SIGCONT)
        with pytest.raises(LeaseLostError, match="batch 7 of worker 1 comes too late"):
            await claim
        reply = await worker_calls.work(next_one, worker_id, 8, b"{*}", 2, [], None, 1 << 20)
        assert len(reply.ids) == 2
        await worker_calls.forget(next_one, worker_id)
        late.close()
        next_one.close()

    asyncio.run(main())
    assert jobs.states() == {"ready": 3}


_LISTENER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 70677103"


def test_a_backend_stands_still(jobs: Jobs, worker: StartWorker) -> None:
    """As behind a half-open connection: no farewell comes, and no answer either."""
    running = worker("--processes", "1", "--heartbeat", "0.5")
    jobs.wait(jobs.add("noop"))
    [[listener]] = [row.values() for row in eventually(lambda: jobs.query(_LISTENER))]

    def stands_still() -> bool:
        """At rest, that is: at work it might hold what the whole server waits for."""
        os.kill(listener, signal.SIGSTOP)
        if jobs.value("SELECT state FROM pg_stat_activity WHERE pid = %s", listener) == "idle":
            return True
        os.kill(listener, signal.SIGCONT)
        return False

    eventually(stands_still)
    try:
        # Whether it stood still at work or at rest is told in other words.
        told = r"listener: the connection to PostgreSQL (is gone|was lost): no answer came within"
        eventually(lambda: re.search(told, running.log()) is not None)
        jobs.wait(jobs.add("noop"))
    finally:
        os.kill(listener, signal.SIGCONT)
    counted = stop(running)
    # If it holds the row of the worker, the other connection waits for that in vain.
    assert 1 <= counted["reconnects"] <= 2
    said = [line for line in warnings(running) if "listener" in line]
    assert len(said) == 1, said
