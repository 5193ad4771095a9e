"""`health`, `check`, `prune` and `workers`, as JSON and as tables."""

import pytest

from pgqueue import PgQueue
from tests.cli.conftest import Cli, answer, finish, table, take
from tests.fixtures.databases import Database


def test_health(cli: Cli, app: PgQueue) -> None:
    health = answer(cli("health", "--json"))
    assert next(iter(health)) == "status"
    assert health["status"] == "ok"
    app.enqueue("t")
    health = answer(cli("health", "--json", code=1))
    assert set(health) == {
        "status", "workers", "workers_lost", "leader", "ready", "scheduled", "blocked", "running",
        "unknown_task", "paused_queues", "first_waits_seconds", "notification_queue",
    }  # fmt: skip
    assert (health["status"], health["ready"]) == ("no worker", 1)
    said = cli("health", code=1).stdout.splitlines()
    assert said[0].split(maxsplit=1) == ["status", "no worker"]
    assert any(line.startswith("first waits seconds  ") for line in said)


@pytest.mark.dirty
def test_check(cli: Cli, app: PgQueue, db: Database) -> None:
    assert answer(cli("check", "--json")) == []
    assert cli("check").stdout == "no problems\n"
    app.enqueue("t")
    db.execute("DELETE FROM pgqueue.ready_jobs")
    assert answer(cli("check", "--json", code=1)) == [
        {"problem": "job in no position", "job_id": 1, "detail": ""}
    ]
    assert cli("check", code=1).stdout.splitlines()[1].split("  ")[0] == "job in no position"


def test_prune(cli: Cli, app: PgQueue, db: Database) -> None:
    for _ in range(3):
        app.enqueue("t")
    worker_id = take(db, 1, 2, 3)
    finish(db, worker_id, 1)
    finish(db, worker_id, 2)
    assert answer(cli("prune", "--json")) == {"deleted": 0}
    assert answer(cli("prune", "--older-than", "7d", "--json")) == {"deleted": 0}
    assert cli("prune", "--older-than", "0").stdout == "2 jobs deleted\n"
    assert [job.id for job in app.jobs()] == [3]


def test_workers(cli: Cli, app: PgQueue, db: Database) -> None:
    assert answer(cli("workers", "list", "--json")) == []
    app.enqueue("t")
    worker_id = take(db, 1)
    db.execute(
        "SELECT pgqueue.register_worker(name => 'gone', queues => '{mail,other}', "
        "lease => '1 s', at => now() - interval '1 minute')"
    )
    ours, gone = answer(cli("workers", "list", "--json"))
    assert set(ours) == {
        "id", "name", "hostname", "pid", "queues", "started_at", "heartbeat_at", "has_lock",
        "processes", "threads", "version", "is_leader", "is_lost", "running",
        "children", "replaced",
    }  # fmt: skip
    assert (ours["id"], ours["name"], ours["running"]) == (worker_id, "by hand", 1)
    assert (gone["is_lost"], gone["queues"]) == (True, ["mail", "other"])
    rows = [[cell.strip() for cell in row] for row in table(cli("workers", "list"))]
    assert rows[1][1:4] == ["by hand", "alive", "*"]
    assert rows[2][1:4] == ["gone", "lost", "mail,other"]
