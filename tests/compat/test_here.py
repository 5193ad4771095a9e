"""Jobs that are run in this process: once each, in order, and by nobody else at the same time."""

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.conftest import SETTINGS
from tests.fixtures.databases import Database
from tests.helpers import ROOT, eventually

TASKS = "tests.compat.project.market.tasks"

PROGRAM = """
import sys, django
django.setup()
from pgqueue.compat import here
print(len(here.run(["old"])), flush=True)
"""


@pytest.fixture
def here(market: Database) -> Any:
    from pgqueue.compat import here

    return here


def enqueue(name: str, *args: object, kind: str = "old", **options: Any) -> int:
    from pgqueue.api.default import default_app

    words = {"queue": "old", **options}
    return default_app().enqueue(f"{kind}:{TASKS}.{name}", list(args), **words).id


def states(database: Database) -> dict[int, tuple[str, int]]:
    rows = database.execute("SELECT id, state, attempt FROM pgqueue.job_overview")
    return {job_id: (state, attempt) for job_id, state, attempt in rows}


def orders() -> list[str]:
    from tests.compat.project.market.models import Order

    return list(Order.objects.values_list("number", flat=True))


def start(database: Database) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={
            **environment,
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "PYTHONPATH": os.fspath(ROOT),
            "PGQUEUE_DSN": database.dsn,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def programs(market: Database) -> Iterator[list["subprocess.Popen[str]"]]:
    found: list[subprocess.Popen[str]] = []
    yield found
    for one in found:
        one.kill()
        one.communicate()


def test_due_jobs_run_and_say_what_became_of_them(market: Database, here: Any) -> None:
    first, second, third = (
        enqueue("order", "1"),
        enqueue("fail", max_attempts=1),
        enqueue("echo", 3, kind="oldest"),
    )
    other, later = enqueue("order", "2", queue="other"), enqueue("order", "3", run_at="1h")
    seen: list[int] = []
    ran = here.run(["old"], before=lambda job: seen.append(job.job_id))
    assert [(one.job_id, one.state) for one in ran] == [
        (first, "succeeded"), (second, "failed"), (third, "succeeded"),
    ]  # fmt: skip
    assert seen == [first, second, third]
    assert str(ran[1].error) == "out of stock"
    assert ran[2].result == [[3], {}]
    found = states(market)
    assert [found[one][0] for one in (first, second, third, other, later)] == [
        "succeeded", "failed", "succeeded", "ready", "scheduled",
    ]  # fmt: skip
    assert orders() == ["1"]
    assert market.execute("SELECT count(*) FROM pgqueue.workers") == [(0,)]


def test_an_atomic_job_that_fails_has_no_effects_and_a_plain_one_has(here: Any) -> None:
    enqueue("order_and_fail", "1", kind="oldest", max_attempts=1)
    enqueue("order_and_fail", "2", max_attempts=1)
    assert [one.state for one in here.run(["old"])] == ["failed", "failed"]
    assert orders() == ["2"]


def test_it_stops_at_the_first_error_where_it_shall(here: Any) -> None:
    first, failing, last = (
        enqueue("order", "1"),
        enqueue("fail", max_attempts=2),
        enqueue("order", "2"),
    )
    ran = here.run(["old"], stop_at_error=True)
    assert [one.job_id for one in ran] == [first, failing]
    assert ran[-1].state == "retry"
    assert [one.job_id for one in here.run(["old"])] == [last]
    assert orders() == ["1", "2"]


def test_jobs_that_others_enqueue_run_too_and_a_limit_ends_it(here: Any) -> None:
    enqueue("enqueue_another", "1")
    assert len(here.run(["old"])) == 2
    for number in range(4):
        enqueue("order", f"a{number}")
    assert len(here.run(["old"], limit=3)) == 3
    assert orders() == ["1", "a0", "a1", "a2"]


def test_filters_and_orders(market: Database, here: Any) -> None:
    now = dt.datetime.now(dt.UTC)
    ids = {
        "low": enqueue("order", "low", priority=1),
        "late": enqueue("order", "late", priority=5, run_at=now - dt.timedelta(minutes=1)),
        "early": enqueue("order", "early", priority=5, run_at=now - dt.timedelta(hours=1)),
        "undated": enqueue("order", "undated", priority=5),
        "echo": enqueue("echo", priority=9),
    }
    name = {job_id: word for word, job_id in ids.items()}

    def run(**words: Any) -> list[str]:
        ran = here.run(["old"], **words)
        for one in ran:
            market.execute("DELETE FROM pgqueue.jobs WHERE id = %s", [one.job_id])
            ids[name[one.job_id]] = enqueue("nothing", priority=-1, queue="done")
        return [name[one.job_id] for one in ran]

    assert run(prefix=f"old:{TASKS}.e") == ["echo"]
    assert run(shard=(ids["low"], 5)) == ["low"]
    assert run(order="run_at", limit=1) == ["early"]
    again = enqueue("order", "early", priority=5, run_at=now - dt.timedelta(hours=1))
    name[again] = "early"
    assert run(order="async") == ["early", "late", "undated"]


def test_certain_jobs_in_a_certain_order(market: Database, here: Any) -> None:
    first, second, third = (enqueue("order", str(number)) for number in range(3))
    later, gone = enqueue("order", "later", run_at="1h"), enqueue("order", "gone")
    market.execute("DELETE FROM pgqueue.jobs WHERE id = %s", [gone])
    left = iter([third, gone, later, first, first, second])
    ran = here.run(["old"], ids=left, limit=2)
    assert [one.job_id for one in ran] == [third, first]
    assert orders() == ["2", "0"]
    assert second in left


def test_the_time_may_be_another_one(market: Database, here: Any) -> None:
    now = dt.datetime.now(dt.UTC)
    later = enqueue("order", "later", run_at=now + dt.timedelta(hours=2))
    enqueue("order", "sooner", run_at=now - dt.timedelta(hours=1))
    brief = enqueue(
        "order", "brief", run_at=now + dt.timedelta(hours=1), expires_at=now + dt.timedelta(hours=2)
    )
    assert here.run(["old"], now=now - dt.timedelta(hours=2)) == []
    assert len(here.run(["old"], now=now)) == 1
    ran = here.run(["old"], now=now + dt.timedelta(hours=2))
    assert [one.job_id for one in ran] == [later]
    assert states(market)[brief] == ("expired", 0)


def test_one_job_runs_whether_it_is_due_or_not(here: Any) -> None:
    from pgqueue import JobStateError
    from pgqueue.api.default import default_app

    later = enqueue("order", "1", run_at="1h")
    default_app().queues.pause("old")
    assert here.run_one(later, "old").state == "succeeded"
    with pytest.raises(JobStateError, match="it does not wait, or another is at it"):
        here.run_one(later, "old")
    enqueue("order", "2")
    assert here.run(["old"]) == []
    assert orders() == ["1"]


def test_a_limit_of_the_queue_holds(market: Database, here: Any) -> None:
    from pgqueue.api.default import default_app

    default_app().queues.configure("old", rate="2/h")
    for number in range(3):
        enqueue("order", str(number))
    assert len(here.run(["old"])) == 2
    assert orders() == ["0", "1"]


def test_a_task_that_nobody_knows_stays(market: Database, here: Any) -> None:
    from pgqueue.api.default import default_app

    job = default_app().enqueue("unknown.task", queue="old")
    (ran,) = here.run(["old"])
    assert (ran.state, str(ran.error)) == ("retry", "no task is named unknown.task")
    assert states(market)[job.id][0] == "scheduled"


def test_native_jobs_run_too(market: Database, here: Any) -> None:
    from pgqueue.api.decorating import registry
    from tests.compat.project.market.tasks import together

    registry.add(together)
    jobs = [together.enqueue(number) for number in range(2)]
    assert [one.state for one in here.run(["old"])] == ["succeeded"] * 2
    assert [job.result() for job in jobs] == [[1, 0], [1, 1]]


def test_an_atomic_job_whose_connection_is_lost_has_its_effects_once(
    market: Database, here: Any
) -> None:
    job = enqueue("order", "1", kind="oldest", max_attempts=1)

    def lose(job: Any) -> None:
        market.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    # Whether Django notices in time or not: then it goes back, and waits a second.
    (ran,) = here.run(["old"], before=lose)
    assert ran.state in ("succeeded", "given_back")
    here.run(["old"], now=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1))
    assert states(market)[job][0] == "succeeded"
    assert orders() == ["1"]


def test_within_a_transaction_all_is_part_of_it(market: Database, here: Any) -> None:
    from django.db import transaction

    with transaction.atomic():
        enqueue("order", "1")
        enqueue("order_and_fail", "2", kind="oldest", max_attempts=1)
        assert [one.state for one in here.run(["old"])] == ["succeeded", "failed"]
        assert orders() == ["1"]
        transaction.set_rollback(True)
    assert orders() == []
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]


def test_ctrl_c_gives_the_job_back(market: Database, here: Any) -> None:
    job = enqueue("interrupt", max_attempts=1)
    with pytest.raises(KeyboardInterrupt):
        here.run(["old"])
    assert market.execute("SELECT state, attempt, lost FROM pgqueue.job_overview") == [
        ("ready", 1, 1)
    ]
    assert job


def test_two_at_once_run_each_job_once(market: Database, programs: list[Any]) -> None:
    holder = market.connect()
    holder.execute("SELECT pg_advisory_lock(1)")
    for number in range(30):
        enqueue("wait_for" if number < 2 else "order", 1 if number < 2 else str(number))
    programs += [start(market), start(market)]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1"
    # Each of them has begun with a job of its own.
    eventually(lambda: market.execute(f"{waiting} AND NOT granted") == [(2,)], 60)
    holder.execute("SELECT pg_advisory_unlock(1)")
    counts = [int(one.communicate(timeout=60)[0]) for one in programs]
    assert sum(counts) == 30
    assert min(counts) > 0
    assert sorted(map(int, orders())) == list(range(2, 30))
    assert set(states(market).values()) == {("succeeded", 1)}


def test_one_that_is_killed_loses_nothing(market: Database, here: Any, programs: list[Any]) -> None:
    holder = market.connect()
    holder.execute("SELECT pg_advisory_lock(1)")
    first, second = enqueue("wait_for", 1), enqueue("order", "2")
    programs.append(start(market))
    alive = "SELECT id FROM pgqueue.workers WHERE has_lock AND heartbeat_at > started_at"
    [(worker,)] = eventually(lambda: market.execute(alive), 60)
    eventually(lambda: states(market)[first][0] == "running", 60)
    programs[0].send_signal(signal.SIGKILL)
    programs[0].wait()
    lock = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 70677103"
    eventually(lambda: market.execute(lock) == [(0,)], 60)
    # While it may only be silent, its job stays its own.
    assert [one.job_id for one in here.run(["old"])] == [second]
    holder.execute("SELECT pg_advisory_unlock(1)")
    market.execute(
        "UPDATE pgqueue.workers SET heartbeat_at = heartbeat_at - lease WHERE id = %s", [worker]
    )
    assert [one.job_id for one in here.run(["old"])] == [first]
    assert states(market) == {first: ("succeeded", 2), second: ("succeeded", 1)}
    assert market.execute("SELECT kind FROM pgqueue.job_errors") == [("lost",)]


def test_one_that_is_taken_for_dead_stops(market: Database, here: Any) -> None:
    from pgqueue import LeaseLostError

    enqueue("order", "1")

    def lose(job: Any) -> None:
        # In one transaction, so that no sign of life comes between.
        with market.connect(autocommit=False) as connection:
            connection.execute("UPDATE pgqueue.workers SET heartbeat_at = 'epoch'")
            connection.execute("SELECT pgqueue.rescue()")

    with pytest.raises(LeaseLostError):
        here.run(["old"], before=lose)
    assert [one.state for one in here.run(["old"])] == ["succeeded"]


def test_signs_of_life_go_on_after_an_error_of_the_server(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pgqueue.compat import pulse

    monkeypatch.setattr(pulse, "_FIRST", 0.01)
    monkeypatch.setattr(pulse, "_EVERY", 0.01)
    [(worker,)] = db.execute("SELECT pgqueue.register_worker('w')")
    beat = "SELECT heartbeat_at FROM pgqueue.workers"
    stuck = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    lost = threading.Event()
    blocker = db.connect(autocommit=False)
    blocker.execute("SELECT FROM pgqueue.workers FOR UPDATE")
    before = db.execute(beat)
    one = pulse.Pulse(db.dsn, worker, lost.set)
    try:
        eventually(lambda: db.execute(stuck) == [(True,)])
        eventually(lambda: "gave no sign of life" in caplog.text)
        assert "QueryCanceled" in caplog.text
        assert db.execute(beat) == before
        blocker.rollback()
        eventually(lambda: db.execute(beat) > before)
        assert not lost.is_set()
        db.execute("SELECT pgqueue.forget_worker(%s)", [worker])
        eventually(lost.is_set)
    finally:
        one.stop()


def test_a_job_that_takes_long_stays_ours(
    market: Database, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: its signs of life go on, so that rescue leaves it."""
    from pgqueue.compat import pulse

    monkeypatch.setattr(pulse, "_FIRST", 0.01)
    monkeypatch.setattr(pulse, "_EVERY", 0.01)
    beat = "SELECT max(heartbeat_at) FROM pgqueue.workers"
    job_id = enqueue("wait_for", 1)
    seen: list[Any] = []

    def watch() -> None:
        with market.connect() as gate:
            gate.execute("SELECT pg_advisory_lock(1)")
            ready.set()
            eventually(lambda: states(market) == {job_id: ("running", 1)})
            for _ in range(3):
                # As if the lease had passed since the last one.
                market.execute(
                    "UPDATE pgqueue.workers SET heartbeat_at = heartbeat_at - interval '50 s'"
                )
                before = market.execute(beat)
                eventually(lambda: market.execute(beat) > before)  # noqa: B023
                seen.extend(market.execute("SELECT jobs_rescued FROM pgqueue.rescue()"))

    ready = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    ready.wait()
    ran = here.run(["old"])
    watcher.join()
    assert [(one.job_id, one.state) for one in ran] == [(job_id, "succeeded")]
    assert seen == [(0,)] * 3


@pytest.mark.parametrize("name", ["nap", "count", "drowse"])
def test_a_job_that_takes_longer_than_it_may_fails(market: Database, here: Any, name: str) -> None:
    before = signal.getsignal(signal.SIGURG)
    enqueue(name, timeout=1, max_attempts=1)
    enqueue("order", "1")
    [late, other] = here.run(["old"])
    assert (late.state, type(late.error).__name__) == ("failed", "JobTimeout")
    assert other.state == "succeeded"
    [(kind, message)] = market.execute("SELECT kind, message FROM pgqueue.job_errors")
    assert (kind, "the limit of 1 seconds was passed" in message) == ("pgqueue.JobTimeout", True)
    assert signal.getsignal(signal.SIGURG) == before


def test_a_coroutine_that_takes_longer_than_it_may_fails(market: Database, here: Any) -> None:
    from pgqueue.api.decorating import registry
    from tests.compat.project.market.tasks import doze

    registry.add(doze)
    doze.using(max_attempts=1).enqueue()
    assert [one.state for one in here.run(["old"])] == ["failed"]
    [(message,)] = market.execute("SELECT message FROM pgqueue.job_errors")
    assert "the limit of 1 seconds was passed" in message


def test_what_an_atomic_job_wrote_before_its_limit_is_undone(here: Any) -> None:
    enqueue("order_and_nap", "1", kind="oldest", timeout=1, max_attempts=1)
    assert [one.state for one in here.run(["old"])] == ["failed"]
    assert orders() == []


def test_a_limit_holds_in_a_transaction_and_in_another_thread(here: Any) -> None:
    from django.db import connection, transaction

    enqueue("nap", timeout=1, max_attempts=1)
    with transaction.atomic():
        assert [one.state for one in here.run(["old"])] == ["failed"]
    enqueue("count", timeout=1, max_attempts=1)
    seen: list[str] = []

    def run() -> None:
        seen.extend(one.state for one in here.run(["old"]))
        connection.close()

    other = threading.Thread(target=run)
    other.start()
    other.join()
    assert seen == ["failed"]
