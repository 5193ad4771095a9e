"""`schedules`: list, show, add, run, pause, resume, delete, preview, sync."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, answer, sentence, table
from tests.fixtures.databases import Database

DECLARING = """\
from pgqueue import cron, every, task


@task(schedule=[every("1h"), cron("0 9 * * *", name="mornings", planned_kwarg="when")])
def report(when=None):
    return str(when)
"""


def test_add_list_show(cli: Cli) -> None:
    done = cli(
        "schedules", "add", "poll", "shop.poll", "[1]", "--every", "5m", "--overlap", "skip",
        "--kwargs", '{"b": 2}', "--queue", "slow", "--priority", 4, "--jitter", "10s",
        "--catch-up", "all", "--max-catch-up", 9, "--repeats", 3, "--planned-kwarg", "when",
        "--concurrency-key", "line", "--max-running", 2, "--unique-key", "poll",
    )  # fmt: skip
    assert done.stdout.startswith("schedule poll is set; next: 20")
    [found] = answer(cli("schedules", "list", "--json"))
    expected = {
        "name": "poll", "status": "active", "task": "shop.poll", "args": [1], "kwargs": {"b": 2},
        "queue": "slow", "priority": 4, "kind": "every", "rule": "5m", "overlap": "skip",
        "catch_up": "all", "max_catch_up": 9, "repeats": 3, "jitter": 10.0, "source": "api",
        "planned_kwarg": "when", "runs": 0, "last_job_id": None,
        "options": {"concurrency_key": "line", "max_running": 2, "unique_key": "poll"},
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    rows = table(cli("schedules", "list"))
    assert rows[0][0] == "SCHEDULE"
    assert rows[1][0] == "poll"
    job = answer(cli("schedules", "run", "poll", "--json"))
    assert job == {"schedule": "poll", "id": 1}
    shown = answer(cli("schedules", "show", "poll", "--json"))
    assert [(run["job_id"], run["manual"]) for run in shown["history"]] == [(1, True)]
    assert answer(cli("schedules", "run", "poll", "--json"))["id"] == 1
    text = cli("schedules", "show", "poll").stdout
    assert "duplicate of 1" in text
    assert "last job id" in text
    assert "SLOT" in text


def test_pause_resume_delete(cli: Cli) -> None:
    cli("schedules", "add", "s", "t", "--cron", "@daily")
    assert cli("schedules", "pause", "s").stdout == "schedule s is paused\n"
    assert answer(cli("schedules", "pause", "s", "--json")) == {"schedule": "s", "paused": False}
    assert cli("schedules", "resume", "s").stdout == "schedule s is resumed\n"
    assert answer(cli("schedules", "resume", "s", "--json")) == {"schedule": "s", "resumed": False}
    assert cli("schedules", "delete", "s").stdout == "schedule s is deleted\n"
    assert answer(cli("schedules", "delete", "s", "--json")) == {"schedule": "s", "deleted": False}


@pytest.mark.parametrize("command", ["show", "run", "pause", "resume", "preview"])
def test_of_none(cli: Cli, command: str) -> None:
    said = sentence(cli("schedules", command, "none", code=1))
    assert said.startswith("there is no schedule 'none'")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["s", "t"], "a schedule needs one of every, cron, rrule and at, and only one; got none"),
        (["s", "t", "--every", "5x"], "every must be an interval of a second or more"),
        (["s", "t", "--cron", "* *"], "cron must be five fields"),
        (["s", "t", "--every", "5m", "--timezone", "Mars"], "timezone must be a name"),
        (["s", "t", "--every", "5m", "--overlap", "no"], "overlap must be one of allow, skip"),
        (["s", "t", "{}", "--every", "5m"], "ARGS-JSON must be a JSON array"),
        (["s", "t", "--at", "tomorrow"], "--at must be a time with its zone"),
        (["", "t", "--every", "5m"], "a schedule's name must be a string of 1 to 200 bytes"),
        (["s", "", "--every", "5m"], "task must be a non-empty string"),
        (["s", "t", "--evry", "5m"], "unknown option '--evry'; did you mean '--every'?"),
    ],
)
def test_wrong_input(cli: Cli, words: list[str], said: str) -> None:
    assert sentence(cli("schedules", "add", *words, code=2)).startswith(said)


def test_preview(cli: Cli) -> None:
    rule = ("--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--starts-at",
            "2027-03-27T00:00:00Z", "--count", "3")  # fmt: skip
    assert cli("schedules", "preview", *rule).stdout.splitlines() == [
        "2027-03-27 02:30:00+01:00",
        "2027-03-28 03:30:00+02:00",
        "2027-03-29 02:30:00+02:00",
    ]
    assert len(answer(cli("schedules", "preview", "--every", "1h", "--json"))) == 5
    cli("schedules", "add", "s", "t", *rule[:-2])
    assert cli("schedules", "preview", "s", "--count", 1).stdout == "2027-03-27 02:30:00+01:00\n"
    both = cli("schedules", "preview", "s", "--every", "1h", code=2)
    assert sentence(both) == "preview takes the name of a schedule or a rule, not both"
    many = cli("schedules", "preview", "s", "--count", 5000, code=2)
    assert sentence(many) == "--count must be between 1 and 1000; got 5000"


def test_sync(run: Cli, tmp_path: Path, db: Database) -> None:
    (tmp_path / "declaring.py").write_text(DECLARING)
    words = ("schedules", "sync", "--app", "declaring")
    assert answer(run(*words, "--json", cwd=tmp_path)) == {"changed": 2, "withdrawn": 0}
    (tmp_path / "declaring.py").write_text("")
    done = run(*words, cwd=tmp_path)
    assert done.stdout == "0 schedules changed, 2 declared no more\n"
    status = db.execute("SELECT name, status FROM pgqueue.schedule_overview ORDER BY name")
    assert status == [("declaring.report", "undeclared"), ("mornings", "undeclared")]
