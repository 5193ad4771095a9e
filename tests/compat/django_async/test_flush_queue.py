"""flush_queue: one pass, in the order of django-async; safe when two run at once."""

import datetime as dt
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.django_async.conftest import TASKS, again, native
from tests.fixtures.databases import Database
from tests.helpers import ROOT, eventually


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somewhere to keep the lock."""
    monkeypatch.chdir(tmp_path)


def flush(**options: Any) -> list[str]:
    """Run the command; gives what it printed."""
    from django.core.management import call_command

    out = io.StringIO()
    call_command("flush_queue", stdout=out, **options)
    return out.getvalue().splitlines()


def add(number: int = 1, task: str = "echo", **more: Any) -> Any:
    from pgqueue.compat.django_async import schedule

    return schedule(f"{TASKS}.{task}", [number], **more)


def ago(**span: Any) -> dt.datetime:
    from django.utils import timezone

    now: dt.datetime = timezone.now()
    return now - dt.timedelta(**span)


def test_it_prints_what_it_runs(market: Database) -> None:
    assert flush() == ["No jobs to execute"]
    job = add(7)
    assert flush() == [f"{job.pk}: {TASKS}.echo(7)", "No jobs to execute"]
    assert again(job).executed is not None


def test_order(market: Database) -> None:
    jobs = {
        "3 asap": add(priority=3),
        "5 asap": add(),
        "5 asap, second": add(),
        "5 an hour late": add(run_after=ago(hours=1)),
        "5 a day late": add(run_after=ago(days=1)),
        "1 a day late": add(priority=1, run_after=ago(days=1)),
        "9 asap": add(priority=9),
        "tomorrow": add(priority=99, run_after=ago(days=-1)),
        "cancelled": add(priority=99),
    }
    type(jobs["cancelled"]).objects.filter(pk=jobs["cancelled"].pk).update(cancelled=ago())
    names = {str(job.pk): name for name, job in jobs.items()}
    ran = [names[line.split(":")[0]] for line in flush()[:-1]]
    assert ran == [
        "9 asap", "5 a day late", "5 an hour late", "5 asap", "5 asap, second", "3 asap",
        "1 a day late",
    ]  # fmt: skip


def test_one_that_failed_before_goes_as_a_scheduled_one(market: Database) -> None:
    from tests.compat.project.market.tasks import MarketError

    first = add(priority=4)
    failed = add(task="fail")
    with pytest.raises(MarketError):
        flush()
    market.execute(
        "UPDATE pgqueue.scheduled_jobs SET run_at = clock_timestamp() - interval '1 minute'"
    )
    market.execute("UPDATE pgqueue.job_errors SET at = at - interval '1 hour'")
    with pytest.raises(MarketError):
        flush()
    assert (again(failed).errors.count(), again(failed).priority) == (2, 3)
    assert again(first).executed is None


def test_the_first_error_ends_it(market: Database) -> None:
    from tests.compat.project.market.tasks import MarketError

    good, bad, last = add(), add(task="fail"), add()
    with pytest.raises(MarketError):
        flush()
    assert again(good).executed is not None
    assert (again(last).executed, again(bad).errors.count()) == (None, 1)
    assert len(flush()) == 2


def test_limit(market: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgqueue.compat.django_async.management.commands import flush_queue
    from pgqueue.compat.django_async.models import Job

    for _ in range(5):
        add()
    assert len(flush(jobs=2)) == 2  # and does not say that there are none
    assert Job.objects.filter(executed=None).count() == 3
    assert "No jobs to execute" not in flush(jobs="3")
    asked = []
    monkeypatch.setattr(flush_queue.Command, "run_queue", lambda _self, *words: asked.append(words))
    flush()
    assert asked == [(0, 1, 300, "")]


@pytest.mark.parametrize("words", [{"jobs": "x"}, {"outof": "0"}, {"which": "-1"}, {"jobs": -1}])
def test_numbers_that_are_none(market: Database, words: dict[str, Any]) -> None:
    from django.core.management import CommandError

    [name] = words
    with pytest.raises(CommandError, match=f"--{name} must be a whole number, at least"):
        flush(**words)


@pytest.mark.parametrize(("which", "outof", "left"), [(0, 2, 0), (1, 2, 1), (2, 2, 0), (4, 3, 1)])
def test_shards(market: Database, which: int, outof: int, left: int) -> None:
    jobs = [add() for _ in range(4)]
    flush(which=which, outof=outof)
    ran = [job.pk for job in jobs if again(job).executed is not None]
    assert ran == [job.pk for job in jobs if job.pk % outof == left] != []


def test_filter(market: Database) -> None:
    other, wanted, more = add(), add(task="order"), add(task="order_and_fail")
    more.delete()
    flush(filter=f"{TASKS}.order")
    assert (again(other).executed, again(wanted).executed is None) == (None, False)


def test_what_jobs_add_is_run_in_the_same_pass_unless_it_is_higher(market: Database) -> None:
    """From the highest priority down, and never up again."""
    from django.test import override_settings

    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.models import Job

    with override_settings(PGQUEUE={"ALLOW": [f"{__name__}.*"]}):
        schedule(f"{__name__}.add_three")
        flush(filter=__name__)
    found = {job.priority: job.executed is not None for job in Job.objects.all()}
    assert found == {5: True, 4: True, 9: False}


def add_three() -> None:
    """Enqueue a job of each kind."""
    from pgqueue.compat.django_async import schedule

    for priority in (4, 5, 9):
        schedule(f"{__name__}.nothing", priority=priority)


def nothing() -> None:
    """Do nothing."""


def test_a_final_job_of_a_higher_priority_waits_for_the_next_pass(market: Database) -> None:
    job, final = add(group="g"), add(group="g", priority=9)
    final.group.on_completion(final)
    assert [line.split(":")[0] for line in flush()[:-1]] == [str(job.pk)]
    assert [line.split(":")[0] for line in flush()[:-1]] == [str(final.pk)]


def test_history_costs_a_pass_nothing(market: Database) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from pgqueue.compat.django_async.models import Job

    Job.objects.bulk_create([Job(name="a", executed=ago(days=1)) for _ in range(50)])
    with CaptureQueriesContext(
        connection,
    ) as queries:
        flush()
    assert not any("async_jobs" in query["sql"] for query in queries)


def test_a_second_one_with_the_same_number_says_so(market: Database) -> None:
    from pgqueue.compat.django_async.management.commands.flush_queue import acquire_lock

    job = add()
    with acquire_lock("async_flush_queue0") as ours:
        assert ours
        assert flush() == ["Lock is already set, aborting."]
        assert again(job).executed is None
        flush(which=1)
    assert again(job).executed is not None
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_that_cannot_be_written_to_needs_no_lock(
    market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc")
    job = add()
    flush()
    assert again(job).executed is not None


def test_two_at_once_run_each_job_once(market: Database, tmp_path: Path) -> None:
    """Both with the whole queue; one of them is killed in the middle."""
    held = add(77, task="wait_for", priority=9)
    jobs = [add(n, task="order") for n in range(10)]
    holder = market.connect()
    holder.execute("SELECT pg_advisory_lock(77)")
    killed = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/compat/project/manage.py"), "flush_queue"],
        cwd=tmp_path,
        env={**environment(market), "PGAPPNAME": "killed"},
        stdout=subprocess.DEVNULL,
    )
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    try:
        eventually(lambda: market.execute(waiting) == [(1,)], 60)
        lines = flush(which=1)
    finally:
        killed.kill()
        killed.wait()
        holder.execute("SELECT pg_advisory_unlock(77)")
    assert lines == [
        *(f"{job.pk}: {TASKS}.order({n})" for n, job in enumerate(jobs)), "No jobs to execute"
    ]  # fmt: skip
    # What the killed one had is run by whoever comes next, once it is known to be dead; and its
    # sessions may go on with what they were at when it was killed.
    eventually(lambda: market.execute(_SESSIONS) == [(0,)], 60)
    market.execute("UPDATE pgqueue.workers SET heartbeat_at = heartbeat_at - lease")
    assert flush()[0] == f"{held.pk}: {TASKS}.wait_for(77)"
    assert market.execute("SELECT number FROM market_order ORDER BY id") == [
        (str(n),) for n in range(10)
    ]


#: Of the one that is killed.
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'killed'"


def environment(database: Database) -> dict[str, str]:
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {
        **kept,
        "PYTHONPATH": os.fspath(ROOT),
        "PGQUEUE_DSN": database.dsn,
        "DJANGO_SETTINGS_MODULE": "tests.compat.project.settings",
    }


def test_states_are_native_ones_meanwhile(market: Database) -> None:
    job = add(task="echo")
    flush()
    assert (native(job).state, native(job).attempt) == ("succeeded", 1)
