"""`queues`, as JSON and as tables."""

import datetime as dt

import pytest

from pgqueue import PgQueue
from tests.cli.conftest import Cli, answer, sentence, table

DAY = 86_400


def test_pause_and_resume(cli: Cli, app: PgQueue) -> None:
    paused = answer(cli("queues", "pause", "mail", "--json"))
    assert paused == {"queue": "mail", "paused": True, "resume_in": None}
    assert app.queues.list()[0].paused
    assert cli("queues", "resume", "mail").stdout == "queue mail is resumed\n"
    assert answer(cli("queues", "resume", "mail", "--json")) == {"queue": "mail", "resumed": False}
    assert cli("queues", "resume", "mail").stdout == "queue mail was not paused\n"
    said = cli("queues", "pause", "mail", "--resume-in", "36h").stdout
    assert said == "queue mail is paused for 1d12h\n"
    assert app.queues.list()[0].resume_at is not None
    paused = answer(cli("queues", "pause", "mail", "--resume-in", "90", "--json"))
    assert paused["resume_in"] == 90


def test_configure(cli: Cli, app: PgQueue) -> None:
    configured = answer(cli("queues", "configure", "mail", "--retention", "3d", "--json"))
    both = {"retention_succeeded": 3 * DAY, "retention_other": 3 * DAY}
    assert configured == {"queue": "mail", **both}
    cli("queues", "configure", "mail", "--retention-succeeded", "0", "--retention-other", "1w")
    [queue] = app.queues.list()
    assert queue.retention_succeeded == dt.timedelta(0)
    assert queue.retention_other == dt.timedelta(days=7)
    said = cli("queues", "configure", "mail", "--retention-other", "1d").stdout
    assert said == "queue mail is configured\n"
    assert app.queues.list()[0].retention_succeeded is None
    reset = answer(cli("queues", "configure", "mail", "--reset", "--json"))
    assert reset == {"queue": "mail", "retention_succeeded": None, "retention_other": None}


def test_list(cli: Cli, app: PgQueue) -> None:
    assert answer(cli("queues", "list", "--json")) == []
    app.enqueue("t", queue="mail")
    app.enqueue("t", queue="mail", run_at="1h")
    app.queues.pause("slow", resume_in="1h")
    app.queues.configure("slow", retention="90m")
    mail, slow = answer(cli("queues", "list", "--json"))
    assert set(mail) == {
        "queue", "ready", "scheduled", "blocked", "running", "unknown_task", "paused", "resume_at",
        "first_waits", "retention_succeeded", "retention_other", "max_running", "rate",
        "max_pending",
    }  # fmt: skip
    assert (mail["queue"], mail["ready"], mail["scheduled"]) == ("mail", 1, 1)
    assert mail["first_waits"] >= 0
    assert (slow["paused"], slow["retention_other"]) == (True, 5400)
    rows = [[cell.strip() for cell in row] for row in table(cli("queues", "list"))]
    assert len({len(row) for row in rows}) == 1
    assert rows[1][:3] == ["mail", "1", "1"]
    assert rows[2][6].startswith("until 20")
    assert rows[2][-2:] == ["1h30m", "1h30m"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pause", "*"], "'*' stands for every queue"),
        (["pause", ""], "queue must be a non-empty string"),
        (["pause", "mail", "--resume-in", "0"], "resume_in must be longer than nothing"),
        (
            ["configure", "mail"],
            "needs a limit, --retention, --retention-succeeded or --retention-other",
        ),
        (["configure", "mail", "--reset", "--retention", "1d"], "or --reset alone"),
        (["configure", "mail", "--retention", "1d", "--retention-other", "1d"], "leave those out"),
    ],
)
def test_wrong_words(cli: Cli, words: list[str], said: str) -> None:
    assert said in sentence(cli("queues", *words, code=2))


def test_limits(cli: Cli, app: PgQueue) -> None:
    words = ("queues", "configure", "mail")
    said = answer(cli(*words, "--max-running", "20", "--rate", "100/m", "--json"))
    assert said == {"queue": "mail", "max_running": 20, "rate": "100/m"}
    cli(*words, "--rate", "none", "--max-pending", "5")
    [queue] = app.queues.list()
    assert (queue.max_running, queue.rate, queue.max_pending) == (20, None, 5)
    below = sentence(cli(*words, "--max-running", "-3", code=2))
    assert "max_running must be between 0 and" in below
    assert "max_running must be a whole number" in sentence(
        cli(*words, "--max-running", "many", code=2)
    )
