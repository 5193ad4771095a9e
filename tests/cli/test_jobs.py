"""`enqueue` and `jobs`, as JSON and as tables."""

import datetime as dt
import json
from decimal import Decimal

import pytest

from pgqueue import PgQueue
from tests.cli.conftest import Cli, answer, finish, sentence, table, take
from tests.fixtures.databases import Database

FACTS = {
    "id", "task", "queue", "priority", "state", "attempt", "lost", "crashes", "max_attempts",
    "run_at", "expires_at", "timeout", "created_at", "started_at", "finished_at", "worker_id",
    "error", "reason", "progress", "progress_note", "unique_key",
    "concurrency_key", "fair_key",
}  # fmt: skip
OUTCOME = {
    "id": 1,
    "state": "failed",
    "us": 1000,
    "kind": "ValueError",
    "message": "no",
    "traceback": "Traceback\n  in \x1b[31mf\nValueError: no\n",
}
OWN = {"args", "kwargs", "result", "meta"}


def test_enqueue(cli: Cli, app: PgQueue) -> None:
    assert answer(cli("enqueue", "t", "--json")) == {"id": 1, "task": "t", "duplicate": False}
    done = cli(
        "enqueue", "shop.send", '[1, {"$t":"decimal","v":"1.5"}]', "--kwargs", '{"to": "you"}',
        "--in", "1d12h", "--queue", "mail", "--priority", "-7", "--expires", "3600",
        "--timeout", "1.5m", "--max-attempts", "3", "--meta", '{"by": "me"}',
    )  # fmt: skip
    assert done.stdout == "job 2 enqueued\n"
    job = app.get_job(2)
    assert (job.task, job.args, job.kwargs) == ("shop.send", (1, Decimal("1.5")), {"to": "you"})
    assert (job.queue, job.priority, job.timeout, job.max_attempts) == ("mail", -7, 90, 3)
    assert job.meta == {"by": "me"}
    assert job.run_at is not None
    assert job.expires_at is not None
    late = job.run_at - job.created_at - dt.timedelta(hours=36)
    assert abs(late) < dt.timedelta(minutes=1)
    later = job.expires_at - job.run_at - dt.timedelta(hours=1)
    assert abs(later) < dt.timedelta(minutes=1)
    cli("enqueue", "t", "--at", "2050-01-01T01:00:00+01:00")
    assert app.get_job(3).run_at == dt.datetime(2050, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["t", '{"secret": 1}'], "ARGS-JSON must be a JSON array, such as '[\"a\", 2]'; got an ob"),
        (["t", "[secret"], "ARGS-JSON must be JSON, such as '[\"a\", 2]'; expecting value at char"),
        (["t", "--kwargs", "[]"], "--kwargs must be a JSON object, such as"),
        (["t", "--meta", "1"], "--meta must be a JSON object, such as"),
        (["t", '["\\ud800"]'], ""),
        (["t", '["a\\u0000"]'], "NUL"),
        (["t", "[" * 70 + "]" * 70], "nested deeper"),
        (["t", "--priority", "99999"], "priority must be between -32768 and 32767; got 99999"),
        (["t", "--max-attempts", "0"], "max_attempts must be between 1 and 32767; got 0"),
        (["t", "--queue", "*"], "'*' stands for every queue"),
        (["t", "--queue", ""], "queue must be a non-empty string"),
        (["t", "--timeout", "0"], "timeout must be above 0"),
        (["t", "--in", "101w", "--at", "2030-01-01T00:00:00Z"], "not allowed with"),
        (["t", "--in", "99999w"], "100 years"),
        ([""], "must be a non-empty string"),
    ],
)
def test_wrong_jobs(cli: Cli, app: PgQueue, words: list[str], said: str) -> None:
    found = sentence(cli("enqueue", *words, code=2))
    assert said in found
    assert "secret" not in found
    assert app.jobs() == []


def test_list(cli: Cli, app: PgQueue, db: Database) -> None:
    assert answer(cli("jobs", "list", "--json")) == []
    assert cli("jobs", "list").stdout == ("ID  STATE  TASK  QUEUE  ATTEMPT  CREATED AT  WHY\n")
    app.enqueue("one", ["private"], max_attempts=3)
    app.enqueue("two", kwargs={"k": "private"}, queue="mail", run_at="1h")
    app.enqueue("three\x1b[2J[red]")
    finish(db, take(db, 1, 3), 3, error="ValueError: first\nsecond")
    listed = answer(cli("jobs", "list", "--json"))
    assert [job["id"] for job in listed] == [3, 2, 1]
    assert all(set(job) == FACTS for job in listed)
    assert dt.datetime.fromisoformat(listed[0]["created_at"]).utcoffset() == dt.timedelta(0)
    plain = cli("jobs", "list")
    assert "private" not in plain.stdout
    rows = table(plain)[1:]
    assert [[cell.strip() for cell in row[:3]] for row in rows] == [
        ["3", "failed", "three\u241b[2J[red]"],
        ["2", "scheduled", "two"],
        ["1", "running", "one"],
    ]
    assert rows[0][-1].strip() == "Error: ValueError: first"
    assert rows[2][4].strip() == "1 of 3"
    assert rows[1][-1].startswith("delayed until 20")
    with_args = answer(cli("jobs", "list", "--args", "--json"))
    assert all(set(job) == FACTS | OWN for job in with_args)
    assert with_args[2]["args"] == ["private"]
    assert cli("jobs", "list", "--args").stdout.count("private") == 2


def test_list_filters(cli: Cli, app: PgQueue) -> None:
    for number in range(6):
        app.enqueue(f"t{number % 2}", queue="mail" if number < 2 else "other")

    def ids(*words: object) -> list[int]:
        return [job["id"] for job in answer(cli("jobs", "list", "--json", *words))]

    assert ids("--task", "t1") == [6, 4, 2]
    assert ids("--queue", "mail") == [2, 1]
    assert ids("--state", "ready", "--limit", 2) == [6, 5]
    assert ids("--limit", 2, "--before", 5) == [4, 3]
    assert ids("--state", "running") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--state", "runing"], "got 'runing'; did you mean 'running'?"),
        (["list", "--limit", "0"], "limit must be between 1 and 10000; got 0"),
        (["list", "--before", "-1"], "a job's id must be a whole number"),
        (["show", "-1"], "a job's id must be a whole number; got -1"),
        (["show", "9" * 30], "a job's id must be a whole number"),
        (["retry", "1", "--in", "99999w"], "100 years"),
    ],
)
def test_wrong_words(cli: Cli, words: list[str], said: str) -> None:
    assert said in sentence(cli("jobs", *words, code=2))


def test_show(cli: Cli, app: PgQueue, db: Database) -> None:
    app.enqueue("t", [1, (2,)], {"k": "v"}, meta={"m": None}, timeout=90)
    worker_id = take(db, 1)
    db.execute(
        "SELECT * FROM pgqueue.store_outcomes(%s, %s::json, clock_timestamp())",
        [worker_id, json.dumps([{"batch": 0, "rest": [OUTCOME]}])],
    )
    shown = answer(cli("jobs", "show", 1, "--json"))
    assert set(shown) == FACTS | OWN | {"errors", "logs"}
    assert shown["args"] == [1, {"$t": "tuple", "v": [2]}]
    assert (shown["state"], shown["timeout"]) == ("failed", 90)
    [error] = shown["errors"]
    assert (error["attempt"], error["kind"], error["message"]) == (1, "ValueError", "no")
    assert error["traceback"].endswith("ValueError: no\n")
    said = cli("jobs", "show", 1).stdout
    assert 'call             (1, {"$t":"tuple","v":[2]}, k="v")\n' in said
    assert "timeout          90s\n" in said
    assert "\nattempt 1 at 20" in said
    assert said.endswith("Z: ValueError\n\nTraceback\n  in \u241b[31mf\nValueError: no\n")


def test_what_plain_sql_stored_is_shown_all_the_same(cli: Cli, db: Database) -> None:
    for args in ('[{"$t": "datetime", "v": "x"}]', '[{"$t": "new"}]', "[" * 1500 + "]" * 1500):
        db.execute("INSERT INTO pgqueue.jobs (task, args) VALUES ('t', %s::text::jsonb)", [args])
    listed = answer(cli("jobs", "list", "--args", "--json"))
    assert len(listed) == 3
    assert listed[1]["args"] == [{"$t": "dict", "v": {"$t": "new"}}]
    assert len(table(cli("jobs", "list", "--args"))) == 4


def test_moving_by_hand(cli: Cli, app: PgQueue, db: Database) -> None:
    for _ in range(3):
        app.enqueue("t")
    cancelled = answer(cli("jobs", "cancel", 1, "--reason", "not now", "--json"))
    assert cancelled == {"id": 1, "state": "cancelled"}
    assert cli("jobs", "cancel", 2).stdout == "job 2 is cancelled\n"
    assert answer(cli("jobs", "retry", 1, "--json")) == {"id": 1, "state": "ready"}
    assert cli("jobs", "retry", 2, "--in", "1h").stdout == "job 2 is scheduled\n"
    assert cli("jobs", "retry", 2, "--at", "2050-01-01T00:00:00Z").stdout
    assert app.get_job(2).run_at == dt.datetime(2050, 1, 1, tzinfo=dt.UTC)
    assert cli("jobs", "set-priority", 2, -5).stdout == "job 2 is scheduled\n"
    moved = answer(cli("jobs", "set-queue", 2, "slow", "--json"))
    assert moved == {"id": 2, "state": "scheduled"}
    assert (app.get_job(2).priority, app.get_job(2).queue) == (-5, "slow")
    assert answer(cli("jobs", "delete", 1, "--json")) == {"id": 1, "deleted": True}
    assert cli("jobs", "delete", 2).stdout == "job 2 deleted\n"
    for command in ("show", "retry", "cancel", "delete"):
        assert "there is no job 1" in sentence(cli("jobs", command, 1, code=1))
    assert "there is no job 1" in sentence(cli("jobs", "set-queue", 1, "slow", code=1))
    take(db, 3)
    assert "it is running" in sentence(cli("jobs", "retry", 3, code=1))
    left = "job 3 is running and was left as it is\n"
    assert cli("jobs", "set-priority", 3, 5).stdout == left
    assert cli("jobs", "set-queue", 3, "slow").stdout == left
    assert "must not be running" in sentence(cli("jobs", "delete", 3, code=1))
    assert cli("jobs", "cancel", 3).stdout == (
        "job 3 is running; its worker was asked to stop it\n"
    )


def test_cancel_matching(cli: Cli, app: PgQueue) -> None:
    app.enqueue("a", [{"x": 1, "y": 2}])
    app.enqueue("a", [2], unique_key="u", queue="mail")
    words = ("jobs", "cancel-matching")
    said = cli(*words, "--task", "a", "--args", '[{"y":2,"x":1}]', "--reason", "no").stdout
    assert said == "1 jobs cancelled, 0 that run asked to stop\n"
    found = answer(cli(*words, "--unique-key", "u", "--queue", "mail", "--kwargs", "{}", "--json"))
    assert found == {"cancelled": 1, "asked": 0}
    assert "must be told what to match" in sentence(cli(*words, "--reason", "all", code=2))


def test_enqueue_with_keys(cli: Cli, app: PgQueue) -> None:
    words = ("enqueue", "t", "--unique-key", "u", "--unique-while", "waiting", "--unique-for", "1h")
    assert cli(*words, "--concurrency-key", "k", "--max-running", "3").stdout == "job 1 enqueued\n"
    again = cli("enqueue", "t", "--unique-key", "u")
    assert again.stdout == "job 1 has this unique key already; nothing enqueued\n"
    assert "job 1 has it" in sentence(
        cli("enqueue", "t", "--unique-key", "u", "--on-duplicate", "error", code=1)
    )
    cli("enqueue", "t", "--fair-key", "f")
    assert [job.state for job in app.jobs()] == ["blocked", "blocked"]
