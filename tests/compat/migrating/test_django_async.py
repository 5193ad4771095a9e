"""What is in the tables of django-async comes over, once."""

import datetime as dt
import json
from typing import Any

import pytest

from tests.compat.migrating.conftest import Migrate
from tests.compat.migrating.old_tables import DJANGO_ASYNC
from tests.fixtures.databases import Database

MARKET = "tests.compat.project.market.tasks"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def old(market: Database) -> Database:
    market.execute(DJANGO_ASYNC)
    return market


def _insert(db: Database, table: str, row: dict[str, Any]) -> int:
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    query = f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING id"
    [(key,)] = db.execute(query, list(row.values()))
    return int(key)


def put(db: Database, *args: Any, name: str = f"{MARKET}.echo", **more: Any) -> int:
    row = {
        "name": name,
        "args": json.dumps(args),
        "kwargs": json.dumps(more.pop("kwargs", {})),
        "meta": "{}",
        "result": "",
        "priority": 5,
        "identity": "x",
        "added": NOW - HOUR,
        **more,
    }
    return _insert(db, "async_job", row)


def put_group(db: Database, reference: str, **more: Any) -> int:
    row = {"reference": reference, "created": NOW - 2 * HOUR, **more}
    return _insert(db, "async_group", row)


def test_waiting_jobs_run_as_they_would_have(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_async.models import Error, Job

    put(old, 1, {"$t": 1}, kwargs={"ä": None}, priority=3, identity="one", meta='{"a": 1}')
    failing = put(old, 2, scheduled=NOW + HOUR, priority=-1)
    put(old, name="os.system")
    put(old, name=f"{MARKET}.echo", args="not JSON")
    _insert(
        old,
        "async_error",
        {"job_id": failing, "executed": NOW, "exception": "E('x')", "traceback": "T"},
    )
    looked = migrate("django-async")
    assert looked.code == 1
    assert looked.counts() == {
        "groups": (0, 0, 0, 0),
        "waiting jobs": (4, 0, 2, 2),
        "jobs that are over": (0, 0, 0, 0),
        "errors": (1, 0, 1, 0),
    }
    assert Job.objects.count() == 0
    done = migrate("django-async", "--apply")
    assert done.counts() == looked.counts()
    assert "'os.system' may not be run by a job" in done.refusals()["3"]
    assert "args must be JSON" in done.refusals()["4"]
    first, second = Job.objects.order_by("id")
    assert (first.priority, first.identity, first.added) == (3, "one", NOW - HOUR)
    assert (json.loads(first.meta), first.scheduled) == ({"a": 1}, None)
    assert (second.priority, second.scheduled, second.executed) == (-1, NOW + HOUR, None)
    (error,) = Error.objects.all()
    assert (error.job, error.executed, error.exception, error.traceback) == (
        second, NOW, "E('x')", "T",
    )  # fmt: skip
    (ran,) = here.run(["async"])
    assert ran.job_id == first.pk
    first.refresh_from_db()
    assert json.loads(first.result) == [[1, {"$t": 1}], {"ä": None}]
    assert old.execute("SELECT paused FROM pgqueue.queues WHERE name = 'async'") == [(False,)]


def test_groups_keep_their_progress_and_their_final_job(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_async.models import Group, Job

    group = put_group(old, "half done", description="half of it")
    ended = put_group(old, "done")
    put_group(old, "empty")
    over = {"started": NOW - HOUR, "executed": NOW - HOUR, "result": "7"}
    put(old, "a", group_id=group, **over)
    final = put(old, "final", group_id=group)
    put(old, "b", group_id=group)
    put(old, "c", group_id=group, cancelled=NOW - HOUR)
    put(old, "d", group_id=ended, **over)
    put(old, "e", **over)
    old.execute("UPDATE async_group SET final_id = %s WHERE id = %s", [final, group])
    # As it stands when the command was killed here.
    done = migrate("django-async", "--apply", "--batch", "2")
    assert (done.code, done.counts()) == (
        0,
        {
            "groups": (3, 0, 3, 0),
            "waiting jobs": (2, 0, 2, 0),
            "jobs that are over": (4, 0, 4, 0),
            "errors": (0, 0, 0, 0),
        },
    )
    half, other, empty = Group.objects.order_by("id")
    assert (half.reference, half.description, half.created) == (
        "half done", "half of it", NOW - 2 * HOUR,
    )  # fmt: skip
    assert sorted(json.loads(job.args)[0] for job in half.jobs.all()) == ["a", "b", "c", "final"]
    assert json.loads(half.final.args) == ["final"]
    assert not half.has_completed()
    assert other.has_completed()
    assert other.latest_executed_job().executed == NOW - HOUR
    assert (empty.jobs.count(), Job.objects.filter(group=None).count()) == (0, 1)
    shown = Job.objects.filter(executed__isnull=False).values_list("started", "executed", "result")
    assert set(shown) == {(NOW - HOUR, NOW - HOUR, "7")}
    assert Job.objects.get(cancelled__isnull=False).cancelled == NOW - HOUR
    ran = [one.result[0] for one in here.run(["async"])]
    assert ran == [["b"], ["final"]]
    half.refresh_from_db()
    assert half.has_completed()
    again = migrate("django-async", "--apply").counts()
    assert again["waiting jobs"] == (2, 2, 0, 0)
    assert again["jobs that are over"] == (4, 4, 0, 0)


def test_what_was_moved_is_deleted_whatever_refers_to_it(old: Database, migrate: Migrate) -> None:
    group = put_group(old, "one")
    job = put(old, "a", group_id=group)
    old.execute("UPDATE async_group SET final_id = %s", [job])
    _insert(old, "async_error", {"job_id": job, "executed": NOW, "exception": "E", "traceback": ""})
    done = migrate("django-async", "--apply", "--delete")
    assert done.code == 0
    for table in ("async_group", "async_job", "async_error"):
        assert old.execute(f"SELECT count(*) FROM {table}") == [(0,)], table


def test_nothing_is_deleted_while_rows_that_stay_refer_to_others(
    old: Database, migrate: Migrate
) -> None:
    group = put_group(old, "one")
    put(old, "a", group_id=group)
    put(old, name="os.system", group_id=group)
    done = migrate("django-async", "--apply", "--delete")
    assert done.code == 1
    assert done.report["kept"].startswith("nothing was deleted: rows that stay refer to rows")
    assert [table["deleted"] for table in done.report["tables"]] == [0, 0, 0, 0]
    assert old.execute("SELECT count(*) FROM async_job") == [(2,)]
    assert "nothing was deleted" in migrate("django-async", "--apply", "--delete", text=True).err


def test_an_error_whose_job_was_not_moved_is_not_either(old: Database, migrate: Migrate) -> None:
    job = put(old, name="os.system")
    _insert(old, "async_error", {"job_id": job, "executed": NOW, "exception": "E", "traceback": ""})
    done = migrate("django-async", "--apply")
    assert done.counts()["errors"] == (1, 0, 0, 1)
    assert "its job was not moved" in done.report["tables"][3]["refusals"][0]["why"]


def test_a_queue_that_was_paused_stays_so(old: Database, migrate: Migrate) -> None:
    from pgqueue.api.default import default_app

    default_app().queues.pause("async")
    put(old, 1)
    migrate("django-async", "--apply")
    paused = "SELECT paused, resume_at FROM pgqueue.queues WHERE name = 'async'"
    assert old.execute(paused) == [(True, None)]


def test_cut_off_it_keeps_the_queue_paused_until_all_groups_are_whole(
    old: Database, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_async.models import Group
    from pgqueue.compat.migrating import from_django_async

    one, two = put_group(old, "one"), put_group(old, "two")
    for number in range(4):
        put(old, number, group_id=one if number < 3 else two)
    write, seen = from_django_async._write_jobs, list[int]()

    def interrupted(rows: Any, alias: str) -> list[object]:
        seen.append(len(rows))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return write(rows, alias)

    with monkeypatch.context() as patch:
        patch.setattr(from_django_async, "_write_jobs", interrupted)
        done = migrate("django-async", "--apply", "--batch", "1")
    assert (done.code, seen) == (130, [1, 1, 1])
    assert "the queue async stays paused" in done.err
    paused = (
        "SELECT paused, resume_at > now() + interval '6 days' FROM pgqueue.queues"
        " WHERE name = 'async'"
    )
    assert old.execute(paused) == [(True, True)]
    # Of the first group two are in, which would end it.
    assert here.run(["async"]) == []
    done = migrate("django-async", "--apply", "--batch", "1")
    assert (done.code, done.counts()["waiting jobs"]) == (0, (4, 2, 2, 0))
    assert "paused" not in done.err
    assert old.execute(paused) == [(False, None)]
    assert len(here.run(["async"])) == 4
    assert [
        (group.jobs.count(), group.has_completed()) for group in Group.objects.order_by("id")
    ] == [(3, True), (1, True)]


def test_keys_of_two_databases_are_not_taken_for_each_other(
    old: Database, second: Database, migrate: Migrate
) -> None:
    from pgqueue.compat.django_async.models import Error, Job

    second.execute(DJANGO_ASYNC)
    for db, name in ((old, "here"), (second, "there")):
        group = put_group(db, name)
        job = put(db, name, group_id=group)
        db.execute("UPDATE async_group SET final_id = %s", [job])
        row = {"job_id": job, "executed": NOW, "exception": name, "traceback": ""}
        _insert(db, "async_error", row)
    assert migrate("django-async", "--apply").code == 0
    done = migrate("django-async", "--apply", "--delete", "--database", "other")
    assert done.code == 0
    assert [table["deleted"] for table in done.report["tables"]] == [1, 1, 0, 1]
    for name in ("here", "there"):
        job = Job.objects.get(group__reference=name)
        assert json.loads(job.args) == [name]
        assert job.group.final == job
        assert Error.objects.get(job=job).exception == name
    assert old.execute("SELECT count(*) FROM async_job") == [(1,)]


def test_tables_of_an_older_version_are_read_too(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_async.models import Job

    old.execute(
        "ALTER TABLE async_job DROP COLUMN group_id, DROP COLUMN cancelled;"
        "DROP TABLE async_group; DROP TABLE async_error;"
    )
    put(old, 1)
    put(old, 2, executed=NOW)
    done = migrate("django-async", "--apply")
    assert (done.code, Job.objects.count()) == (0, 2)
