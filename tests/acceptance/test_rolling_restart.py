"""Workers that are replaced one after the other under load, as a deployment does."""

import signal

from tests.acceptance.support import Jobs, figures
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import PATIENCE, eventually

_WORKERS = 7
_JOBS = 500


def test_workers_are_replaced_one_after_the_other(jobs: Jobs, worker: StartWorker) -> None:
    """Nothing is lost, nothing runs twice, and no attempt is spent: every job leaves one note."""
    jobs.make_notes()

    def registered(one: RunningWorker) -> bool:
        return bool(jobs.value("SELECT count(*) FROM pgqueue.workers WHERE pid = %s", one.pid))

    alive = [worker("--processes", "1", "--threads", "2", ready=False) for _ in range(2)]
    gone: list[RunningWorker] = []
    ids: list[int] = []
    for _ in range(_WORKERS - 2):
        numbers = range(len(ids), len(ids) + _JOBS // (_WORKERS - 2))
        with jobs.connection.transaction():
            ids += [jobs.add("note_it", str(number)) for number in numbers]
        # Its successor starts while it is stopped in the middle of its work.
        alive.append(worker("--processes", "1", "--threads", "2", ready=False))
        eventually(lambda: registered(alive[0]))
        gone.append(alive.pop(0))
        gone[-1].process.send_signal(signal.SIGTERM)
    jobs.wait_all(ids)
    eventually(lambda: all(map(registered, alive)))
    for one in alive:
        one.process.send_signal(signal.SIGTERM)
    for one in (*gone, *alive):
        assert one.process.wait(PATIENCE) == 0, one.log()
    told = [figures(one) for one in (*gone, *alive)]
    assert sum(one["jobs"] for one in told) == _JOBS
    assert sum(one["lost_leases"] for one in told) == 0
    notes = jobs.notes()
    assert len(notes) == len(set(notes)) == _JOBS
    rows = jobs.query("SELECT DISTINCT state, attempt, lost, crashes FROM pgqueue.finished_jobs")
    assert rows == [{"state": "succeeded", "attempt": 1, "lost": 0, "crashes": 0}]
    assert jobs.query("SELECT * FROM pgqueue.workers") == []
