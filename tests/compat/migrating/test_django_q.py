"""What is in the tables of django-q comes over, once."""

import datetime as dt
import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.conftest import SETTINGS
from tests.compat.migrating.conftest import Migrate
from tests.compat.migrating.old_tables import CLASSIC_DJANGO_Q, DJANGO_Q, package, pickled
from tests.fixtures.databases import Database
from tests.helpers import ROOT, eventually, run_cli

KEY = "only for tests"
MARKET = "tests.compat.project.market.tasks"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
HOUR = dt.timedelta(hours=1)


def task(number: int, func: Any = f"{MARKET}.echo", *args: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "name": f"name-{number}",
        "func": func,
        "args": args,
        "kwargs": more.pop("kwargs", {}),
        "started": NOW - HOUR,
        **more,
    }


def put(db: Database, payload: str, key: str = "default", lock: dt.datetime = NOW - HOUR) -> None:
    db.execute(
        "INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, %s)", [key, payload, lock]
    )


def put_result(db: Database, number: int, result: str | None, **more: Any) -> None:
    row = {
        "id": f"{number:032x}",
        "name": f"name-{number}",
        "func": "math.floor",
        "args": pickled((1.5,)),
        "kwargs": pickled({}),
        "result": result,
        "started": NOW - 2 * HOUR,
        "stopped": NOW - HOUR,
        "success": True,
        "attempt_count": 1,
        **more,
    }
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join(["%s"] * len(row))
    db.execute(f"INSERT INTO django_q_task ({names}) VALUES ({marks})", list(row.values()))


@pytest.fixture
def old(market: Database) -> Database:
    market.execute(DJANGO_Q)
    return market


def signed(
    task: dict[str, Any], *, key: str = KEY, name: str = "default", compress: bool = False
) -> str:
    return package(task, key=key, name=name, compress=compress)


def test_waiting_tasks_run_as_they_would_have(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_q.models import OrmQ, Task
    from tests.compat.project.market import tasks
    from tests.compat.project.market.models import Order

    order = Order.objects.create(number="7")
    put(old, signed(task(1, f"{MARKET}.echo", 1, order, kwargs={"x": (2,)}, group="g")))
    put(old, signed(task(2, math.floor, 1.5), compress=True), key="other")
    put(old, signed(task(3, tasks.fill, tasks.Basket(1), save=True)))
    put(old, signed(task(4)), lock=NOW + HOUR)
    looked = migrate("django-q")
    assert looked.code == 0
    assert looked.counts()["waiting tasks"] == (4, 0, 4, 0)
    assert old.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
    assert old.execute("SELECT count(*) FROM pgqueue.migrated_rows") == [(0,)]
    done = migrate("django-q", "--apply")
    assert done.code == 0
    assert done.counts() == looked.counts()
    found = old.execute("SELECT task, queue, state FROM pgqueue.job_overview ORDER BY id")
    assert found == [
        (f"django_q:{MARKET}.echo", "default", "ready"),
        ("django_q:math.floor", "other", "ready"),
        (f"django_q:{MARKET}.fill", "default", "ready"),
        (f"django_q:{MARKET}.echo", "default", "scheduled"),
    ]
    assert [one.task_id() for one in OrmQ.objects.order_by("id")] == [
        f"{number:032x}" for number in range(1, 5)
    ]
    assert len(here.run(["default", "other"])) == 3
    first, second, third = Task.objects.order_by("id")
    assert (first.id, first.name, first.group, first.success) == (
        f"{1:032x}", "name-1", "g", True,
    )  # fmt: skip
    assert first.result == [[1, order], {"x": (2,)}]
    assert first.started == NOW - HOUR
    assert second.result == 1
    assert third.result == tasks.Basket(tasks.Basket(1))


def test_what_was_not_signed_here_is_refused_and_never_opened(
    old: Database, migrate: Migrate, tmp_path: Any
) -> None:
    from django.test import override_settings

    from tests.compat.migrating.test_plain import Call

    there = tmp_path / "there"
    bomb = task(1, f"{MARKET}.echo", Call(eval, f"open({str(there)!r}, 'w')"))
    put(old, signed(bomb, key="another key"))
    put(old, signed(bomb, name="another cluster"))
    put(old, signed(bomb)[:-1] + "x")
    put(old, pickled(bomb))
    put(old, "")
    put(old, signed(task(2, "os.system", "true")))
    put(old, signed(task(3, iter_count=3)))
    put(old, signed(["no task"]))  # type: ignore[arg-type]
    put(old, signed(task(4)))
    done = migrate("django-q", "--apply")
    assert done.code == 1
    assert done.counts()["waiting tasks"] == (9, 0, 1, 8)
    why = done.refusals()
    assert all("it is not signed with SECRET_KEY" in why[str(number)] for number in range(1, 6))
    assert "'os.system' may not be run by a job" in why["6"]
    assert "let the old cluster finish them" in why["7"]
    assert "is no task" in why["8"]
    assert not there.exists()
    said = migrate("django-q", text=True)
    assert "django_q_ormq 1 is not moved: it is not signed with SECRET_KEY" in said.err
    # What is mended is moved the next time: by keys that were rotated, or a cluster's old name.
    old.execute("DELETE FROM django_q_ormq WHERE id <> 4")
    put(old, signed(task(5), key="older"))
    put(old, signed(task(6), name="another cluster"))
    with override_settings(SECRET_KEY_FALLBACKS=["old", "older"]):
        done = migrate("django-q", "--apply", "--salt", "another cluster")
    assert done.counts()["waiting tasks"] == (3, 0, 2, 1)
    put(old, signed(task(7)))
    with override_settings(PGQUEUE={"PICKLE": False}):
        done = migrate("django-q", "--apply")
    assert 'PGQUEUE["PICKLE"] is False' in done.refusals()["12"]


def test_one_whose_names_are_gone_is_refused(
    old: Database, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.compat.project.market import tasks

    put(old, signed(task(1, tasks.fill, tasks.Basket(1))))
    monkeypatch.delattr(tasks, "Basket")
    assert (
        "it is signed, and cannot be read (AttributeError)" in migrate("django-q").refusals()["1"]
    )


def test_schedules_go_on_where_they_were(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_q.models import Schedule

    old.execute(
        "INSERT INTO django_q_schedule (id, func, schedule_type, repeats, next_run, name, args, "
        "kwargs, minutes, cron, cluster, hook, task, intended_date_kwarg) VALUES "
        "(7, 'math.floor', 'I', -1, %s, 'often', '1.5', NULL, 5, NULL, NULL, NULL, 'abc', NULL), "
        "(9, 'math.ceil', 'C', 3, %s, NULL, '(1.5,)', '{''x'': 1}', NULL, '0 4 * * *', 'other', "
        "'shop.hook', NULL, 'when'), "
        "(11, 'math.floor', 'O', 0, NULL, 'done', 'what is this', NULL, NULL, NULL, NULL, NULL, "
        "NULL, NULL)",
        [NOW + HOUR, NOW + 2 * HOUR],
    )
    Schedule.objects.create(pk=9, func="math.pow", name="of somebody else")
    done = migrate("django-q", "--apply")
    assert done.counts()["schedules"] == (3, 0, 3, 0)
    often, cron, over = (
        Schedule.objects.get(pk=7),
        Schedule.objects.get(func="math.ceil"),
        Schedule.objects.get(pk=11),
    )
    assert (often.name, often.minutes, often.repeats, often.next_run, often.task) == (
        "often", 5, -1, NOW + HOUR, "abc",
    )  # fmt: skip
    assert cron.pk not in (7, 9, 11)
    assert (cron.cron, cron.cluster, cron.hook, cron.next_run, cron.intended_date_kwarg) == (
        "0 4 * * *", "other", "shop.hook", NOW + 2 * HOUR, "when",
    )  # fmt: skip
    assert (cron.args, cron.kwargs) == ("(1.5,)", "{'x': 1}")
    assert (over.repeats, over.next_run, over.args) == (0, None, "what is this")
    assert old.execute("SELECT became FROM pgqueue.migrated_rows WHERE id = '9'") == [
        (str(cron.pk),)
    ]
    assert Schedule.objects.create(func="math.floor").pk > cron.pk


def put_schedule(db: Database, key: int, func: str, **more: Any) -> None:
    row = {"id": key, "func": func, "schedule_type": "D", "repeats": -1, "next_run": NOW, **more}
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    db.execute(f"INSERT INTO django_q_schedule ({names}) VALUES ({marks})", list(row.values()))


def test_schedules_that_could_not_run_are_refused(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_q.models import Schedule

    command = "django.core.management.call_command"
    put_schedule(old, 1, "os.system", args="'true'")
    put_schedule(old, 2, command, args="'flush', '--noinput'")
    put_schedule(old, 3, "math.floor", args="my_secret")
    # Nothing is told of a value that no reader was ready for.
    put_schedule(old, 4, "math.floor", args="{['my_secret']: 1}")
    put_schedule(old, 5, "os.system", repeats=0)
    put_schedule(old, 6, "os.system", next_run=None)
    put_schedule(old, 7, f"{MARKET}.not_written_yet")
    put_schedule(old, 8, "math.floor", args="1.5")
    done = migrate("django-q", "--apply")
    assert (done.code, done.counts()["schedules"]) == (1, (8, 0, 4, 4))
    why = done.refusals()
    assert "add 'os.system' to PGQUEUE[\"ALLOW\"]" in why["1"]
    assert f"add '{command}:command' to PGQUEUE[\"ALLOW\"]" in why["2"]
    assert why["3"].startswith("args must be literals")
    assert why["4"] == "it cannot be read (TypeError)"
    assert sorted(Schedule.objects.values_list("pk", flat=True)) == [5, 6, 7, 8]


def test_numbers_of_schedules_are_not_drawn_twice(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_q.models import Schedule

    drawn = "SELECT setval(pg_get_serial_sequence('pgqueue.django_q_schedules', 'id'), 50)"
    old.execute(drawn)
    put_schedule(old, 7, "math.floor")
    migrate("django-q", "--apply")
    assert Schedule.objects.create(func="math.floor").pk > 50
    put_schedule(old, 90, "math.floor")
    migrate("django-q", "--apply")
    assert Schedule.objects.create(func="math.floor").pk == 91


def test_results_and_failures_can_be_fetched(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_q.models import Failure, Task
    from tests.compat.project.market.models import Order
    from tests.compat.project.market.tasks import Basket

    order = Order.objects.create(number="7")
    put_result(old, 1, pickled([1, (2,), {"a": dt.date(2020, 1, 2)}]), group="g", cluster="c")
    put_result(old, 2, pickled("Traceback …"), success=False, attempt_count=4, hook="shop.hook")
    put_result(old, 3, None, args=None, kwargs=None)
    put_result(old, 4, pickled(order))
    put_result(old, 5, pickled(Basket(1)))
    done = migrate("django-q", "--apply")
    assert done.code == 1
    assert done.counts()["results and failures"] == (5, 0, 4, 1)
    (why,) = done.refusals().values()
    assert why == (
        f"result: it holds more than plain data: {MARKET}.Basket; --without-values moves the rest"
    )
    one = Task.get_task("name-1")
    assert one is not None
    assert one.result == [1, (2,), {"a": dt.date(2020, 1, 2)}]
    assert (one.args, one.group, one.cluster) == ((1.5,), "g", "c")
    assert (one.started, one.stopped) == (NOW - 2 * HOUR, NOW - HOUR)
    (failure,) = Failure.objects.all()
    assert (failure.result, failure.attempt_count, failure.hook) == (
        "Traceback …", 4, "shop.hook",
    )  # fmt: skip
    assert Task.objects.get(name="name-4").result == order
    done = migrate("django-q", "--apply", "--without-values")
    assert (done.code, done.counts()["results and failures"]) == (0, (5, 4, 1, 0))
    assert done.report["tables"][2]["without_values"] == 1
    last = Task.objects.get(name="name-5")
    assert last.result == "(not moved: its pickle was not signed)"


def test_tables_of_the_classic_version_are_read_too(old: Database, migrate: Migrate) -> None:
    from pgqueue.compat.django_q.models import Task

    old.execute(CLASSIC_DJANGO_Q)
    old.execute("DROP TABLE django_q_ormq")
    put_result(old, 1, pickled(1))
    done = migrate("django-q", "--apply")
    assert done.code == 0
    assert done.report["tables"][0]["missing"] is True
    assert Task.objects.get().cluster is None
    said = migrate("django-q", text=True)
    assert "waiting tasks         django_q_ormq      -" in said.out
    assert "nothing was written; stop the old library's workers" in said.err


def test_each_row_is_moved_once_and_new_ones_the_next_time(old: Database, migrate: Migrate) -> None:
    for number in range(1, 8):
        put(old, signed(task(number)))
    done = migrate("django-q", "--apply", "--batch", "3")
    assert done.counts()["waiting tasks"] == (7, 0, 7, 0)
    put(old, signed(task(8)))
    assert migrate("django-q").counts()["waiting tasks"] == (8, 7, 1, 0)
    assert migrate("django-q", "--apply").counts()["waiting tasks"] == (8, 7, 1, 0)
    assert migrate("django-q", "--apply").counts()["waiting tasks"] == (8, 8, 0, 0)
    assert old.execute("SELECT count(*) FROM pgqueue.jobs") == [(8,)]
    assert old.execute("SELECT count(*) FROM django_q_ormq") == [(8,)]


def test_what_was_moved_is_deleted_where_it_shall(old: Database, migrate: Migrate) -> None:
    put(old, signed(task(1)))
    put(old, "unsigned")
    put_result(old, 1, pickled(1))
    assert migrate("django-q", "--delete").code == 2
    done = migrate("django-q", "--apply", "--delete")
    assert [table["deleted"] for table in done.report["tables"]] == [1, 0, 1]
    assert old.execute("SELECT id FROM django_q_ormq") == [(2,)]
    assert old.execute("SELECT count(*) FROM django_q_task") == [(0,)]
    assert old.execute("SELECT count(*) FROM pgqueue.jobs") == [(1,)]


def test_rows_of_another_database_are_not_taken_for_those_that_were_moved(
    old: Database, second: Database, migrate: Migrate
) -> None:
    second.execute(DJANGO_Q)
    for db, number in ((old, 1), (second, 2)):
        put(db, signed(task(number)))
    assert migrate("django-q", "--apply", "--delete").counts()["waiting tasks"] == (1, 0, 1, 0)
    looked = migrate("django-q", "--database", "other")
    assert looked.counts()["waiting tasks"] == (1, 0, 1, 0)
    done = migrate("django-q", "--apply", "--delete", "--database", "other")
    assert done.counts()["waiting tasks"] == (1, 0, 1, 0)
    assert second.execute("SELECT count(*) FROM django_q_ormq") == [(0,)]
    found = old.execute("SELECT meta -> 'django_q' ->> 'id' FROM pgqueue.jobs ORDER BY id")
    assert found == [(f"{number:032x}",) for number in (1, 2)]
    marks = old.execute("SELECT source, id FROM pgqueue.migrated_rows ORDER BY source")
    assert marks == [("django_q_ormq", "1"), ("other:django_q_ormq", "1")]


def test_two_aliases_of_one_database_move_a_row_once(old: Database, migrate: Migrate) -> None:
    from django.db import connections

    from tests.django_app.conftest import _point

    _point("other", old)
    put(old, signed(task(1)))
    try:
        assert migrate("django-q", "--apply").counts()["waiting tasks"] == (1, 0, 1, 0)
        again = migrate("django-q", "--apply", "--database", "other")
        assert again.counts()["waiting tasks"] == (1, 1, 0, 0)
        # Of one name, and another table: that of another schema.
        old.execute(
            "CREATE SCHEMA elder; CREATE TABLE elder.django_q_ormq (LIKE django_q_ormq);"
            "CREATE TABLE elder.django_q_schedule (LIKE django_q_schedule);"
            "INSERT INTO elder.django_q_ormq SELECT * FROM django_q_ormq"
        )
        connections["other"].close()
        with connections["other"].cursor() as cursor:
            cursor.execute("SET search_path = elder, public")
        again = migrate("django-q", "--database", "other")
        assert again.counts()["waiting tasks"] == (1, 0, 1, 0)
    finally:
        connections["other"].close()


def test_old_tables_elsewhere_than_in_postgresql_are_refused(
    old: Database, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.conf import settings
    from django.db import connections

    engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.devnull, "OPTIONS": {}}
    monkeypatch.setitem(settings.DATABASES, "lite", settings.DATABASES["default"] | engine)
    try:
        said = migrate("django-q", "--apply", "--database", "lite", text=True)
    finally:
        del connections["lite"]
    assert (said.code, said.out) == (2, "")
    assert "must be in PostgreSQL; the database 'lite' is sqlite; copy them into" in said.err


def test_a_row_that_cannot_be_written_does_not_keep_the_others(
    old: Database, migrate: Migrate
) -> None:
    put(old, signed(task(1)))
    put(old, signed(task(2, f"{MARKET}.echo", "x" * 2_000_000)))
    put(old, signed(task(3)), key="x" * 100)
    old.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF EXISTS (SELECT FROM new_jobs AS n WHERE length(n.queue) = 100)"
        " THEN RAISE 'not this one'; END IF; RETURN NULL; END $$;"
        " CREATE TRIGGER refuse AFTER INSERT ON pgqueue.jobs REFERENCING NEW TABLE AS new_jobs"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    done = migrate("django-q", "--apply")
    assert done.counts()["waiting tasks"] == (3, 0, 1, 2)
    assert "must be at most 1048576 bytes" in done.refusals()["2"]
    assert done.refusals()["3"] == "not this one"
    assert old.execute("SELECT source, id FROM pgqueue.migrated_rows") == [("django_q_ormq", "1")]


@pytest.fixture
def running(old: Database) -> Iterator["subprocess.Popen[bytes]"]:
    """The command, in a process of its own; it waits at the third of four batches for the
    connection that is its attribute."""
    for number in range(1, 21):
        put(old, signed(task(number)))
    holder = old.connect(autocommit=False)
    # Whoever moves a row at the same time is waited for.
    holder.execute("INSERT INTO pgqueue.migrated_rows (source, id) VALUES ('django_q_ormq', '12')")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    words = ["migrate-from", "django-q", "--apply", "--batch", "5"]
    found = subprocess.Popen(
        [sys.executable, "-m", "pgqueue", *words],
        env={
            **environment,
            "PYTHONPATH": os.fspath(ROOT),
            "PGQUEUE_DSN": old.dsn,
            "DJANGO_SETTINGS_MODULE": SETTINGS,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    found.holder = holder  # type: ignore[attr-defined]
    try:
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually(lambda: old.execute(waits) == [(1,)], 60)
        assert old.execute("SELECT count(*) FROM pgqueue.jobs") == [(10,)]
        yield found
    finally:
        found.kill()
        found.communicate()


def test_killed_half_way_it_goes_on_where_it_was(
    old: Database, migrate: Migrate, running: Any
) -> None:
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.holder.rollback()
    # The server finds out when it would answer.
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state <> 'idle' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
    )
    eventually(lambda: old.execute(others) == [(0,)], 60)
    done = migrate("django-q", "--apply")
    assert done.counts()["waiting tasks"] == (20, 10, 10, 0)
    found = old.execute("SELECT meta -> 'django_q' ->> 'id' FROM pgqueue.jobs")
    assert sorted(found) == [(f"{number:032x}",) for number in range(1, 21)]


def test_two_at_once_move_no_row_twice(old: Database, running: Any) -> None:
    running.holder.commit()
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    (line,) = [line for line in said.decode().splitlines() if "django_q_ormq" in line]
    assert line.split()[-4:] == ["20", "1", "19", "0"]
    assert old.execute("SELECT count(*) FROM pgqueue.jobs") == [(19,)]


def test_it_is_a_command_of_the_project(old: Database) -> None:
    from django.core.management import call_command

    said = io.StringIO()
    call_command("pgqueue", "migrate-from", "django-q2", "--json", stdout=said)
    assert json.loads(said.getvalue())["library"] == "django-q2"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["celery"], "the library must be one of django-q, django-future, django-async"),
        (["django-que"], "did you mean"),
        (["django-q", "--database", "nowhere"], "--database must be an alias of DATABASES"),
        (["django-q", "--batch", "0"], "must be a whole number from 1 to 10000"),
        (["django-q", "--dsn", "dbname=x"], "--dsn is not for this command"),
        (["django-q"], "has no table of django-q; expected django_q_ormq, django_q_schedule"),
        (["django-q", "--apply", "--what"], "unknown option"),
        ([], "required: LIBRARY"),
    ],
)
def test_wrong_input_is_said(migrate: Migrate, words: list[str], says: str) -> None:
    done = migrate(*words, text=True)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_a_project_must_be_named_and_have_the_facade(market: Database, migrate: Migrate) -> None:
    from django.conf import settings
    from django.test import override_settings

    done = run_cli("migrate-from", "django-q", env={"DJANGO_SETTINGS_MODULE": ""})
    assert done.returncode == 2
    assert "DJANGO_SETTINGS_MODULE must name the settings of the project" in done.stderr
    done = run_cli(
        "migrate-from",
        "django-q",
        dsn="host=127.0.0.1 port=1 dbname=none",
        env={"DJANGO_SETTINGS_MODULE": SETTINGS},
    )
    assert done.returncode == 3
    assert "cannot be reached" in done.stderr
    apps = [name for name in settings.INSTALLED_APPS if name != "pgqueue.compat.django_q"]
    with override_settings(INSTALLED_APPS=apps):
        said = migrate("django-q", text=True)
    assert said.code == 2
    assert "INSTALLED_APPS must name pgqueue.compat.django_q" in said.err


def test_without_the_schema_it_says_what_to_do(old: Database, migrate: Migrate) -> None:
    old.execute("UPDATE pgqueue.schema_versions SET sha256 = repeat('0', 64)")
    said = migrate("django-q", text=True)
    old.execute("DROP TABLE django_q_task, django_q_schedule, django_q_ormq")
    assert said.code == 4


def test_what_stays_is_told_and_counted(old: Database, migrate: Migrate) -> None:
    for number in range(3):
        put(old, signed(task(number, iter_count=3)))
    put(old, signed(task(9)))
    done = migrate("django-q")
    assert done.code == 1
    [stays] = done.report["stays"]
    assert (stays["what"], stays["where"], stays["count"]) == (
        "members of async_iter()", "django_q_ormq", 3,
    )  # fmt: skip
    said = migrate("django-q", text=True).err
    line = " ".join(said.split())
    assert "3 members of async_iter() wait in django_q_ormq and are not moved: the results" in line
    assert "let the old cluster finish them" in line


class Redis:
    """What the old broker knew of Redis: lists, by their keys."""

    def __init__(self, lists: dict[str, int] | Exception) -> None:
        self.lists = lists
        self.words: list[Any] = []

    def from_url(self, *args: Any, **words: Any) -> "Redis":
        self.words.append((args, words))
        return self

    StrictRedis = from_url

    def llen(self, key: str) -> int:
        if isinstance(self.lists, Exception):
            raise self.lists
        return self.lists.get(key, 0)


@pytest.mark.parametrize(
    ("lists", "code", "count", "why"),
    [
        ({"django_q:shop:q": 5, "django_q:slow:q": 2, "django_q:other:q": 9}, 1, 7, ""),
        ({}, 0, 0, ""),
        (OSError("secret"), 0, None, "it did not answer (OSError)"),
        (None, 0, None, "the package redis is not installed"),
    ],
)
def test_tasks_in_redis_are_counted_where_that_can_be(
    old: Database,
    migrate: Migrate,
    monkeypatch: pytest.MonkeyPatch,
    lists: Any,
    code: int,
    count: int | None,
    why: str,
) -> None:
    from django.test import override_settings

    client = None if lists is None else Redis(lists)
    monkeypatch.setitem(sys.modules, "redis", client)  # type: ignore[arg-type]
    cluster = {"name": "shop", "ALT_CLUSTERS": {"slow": {}}, "redis": {"host": "r", "db": 1}}
    if client is None:
        monkeypatch.setitem(sys.modules, "redis", None)  # type: ignore[arg-type]
    with override_settings(Q_CLUSTER=cluster):
        done = migrate("django-q")
        said = " ".join(migrate("django-q", text=True).err.split())
    assert done.code == code
    [stays] = done.report["stays"]
    assert (stays["where"], stays["count"], stays["why"]) == ("Redis", count, why)
    assert ("queue_size() is 0" in said) == (count != 0)
    assert "secret" not in said
    if client is not None:
        patience = {"socket_connect_timeout": 2, "socket_timeout": 2}
        assert client.words[0] == ((), {**patience, "host": "r", "db": 1})


def test_tasks_in_other_brokers_are_named(old: Database, migrate: Migrate) -> None:
    from django.test import override_settings

    with override_settings(Q_CLUSTER={"sqs": {"aws_region": "x"}}):
        done = migrate("django-q", text=True)
    said = " ".join(done.err.split())
    assert done.code == 0
    assert "tasks that wait in Amazon SQS are not moved, and how many they are is not known" in said
    with override_settings(Q_CLUSTER={"orm": "default", "redis": None}):
        assert migrate("django-q").report["stays"] == []
