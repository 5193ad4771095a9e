"""`groups`, as JSON and as text, and cancelling by group."""

from pgqueue import PgQueue
from pgqueue.cli.exits import Exit
from tests.cli.conftest import Cli, answer, sentence, table


def grouped(app: PgQueue, name: str, number: int = 2) -> int:
    with app.group(name) as group:
        for n in range(number):
            app.enqueue("t", [n], group=group)
    return group.id


def test_list_and_show(cli: Cli, app: PgQueue) -> None:
    assert answer(cli("groups", "list", "--json")) == []
    first, second = grouped(app, "a"), grouped(app, "b", 3)
    newest, oldest = answer(cli("groups", "list", "--json"))
    assert (newest["id"], oldest["id"]) == (second, first)
    assert set(newest) == {
        "id", "name", "state", "total", "waiting", "running", "succeeded", "failed", "cancelled",
        "skipped", "remaining", "created_at", "ended_at",
    }  # fmt: skip
    assert len(answer(cli("groups", "list", "--limit", "1", "--json"))) == 1
    assert table(cli("groups", "list"))[1][1].strip() == "b"
    assert answer(cli("groups", "show", str(first), "--json")) == oldest
    assert "waiting: 2\n" in cli("groups", "show", str(first)).stdout
    assert "there is no group 99" in sentence(cli("groups", "show", "99", code=Exit.FAILED))


def test_cancel_retry_and_delete(cli: Cli, app: PgQueue) -> None:
    group = str(grouped(app, "a"))
    said = cli("groups", "cancel", group, "--reason", "no").stdout
    assert said == f"2 jobs of group {group} cancelled\n"
    assert {job.error for job in app.jobs()} == {"cancelled: no"}
    retried = answer(cli("groups", "retry", group, "--json"))
    assert retried == {"id": int(group), "retried": 2}
    counts = answer(cli("jobs", "cancel-matching", "--group", group, "--args", "[1]", "--json"))
    assert counts == {"cancelled": 1, "asked": 0}
    deleted = answer(cli("groups", "delete", group, "--json"))
    assert deleted == {"id": int(group), "deleted": 2}
    assert "there is no group" in sentence(cli("groups", "cancel", group, code=Exit.FAILED))
    assert "there is no group" in sentence(cli("groups", "delete", group, code=Exit.FAILED))


def test_a_rate_is_enqueued(cli: Cli, app: PgQueue) -> None:
    made = answer(cli("enqueue", "t", "--rate", "5/s", "--max-running", "2", "--json"))
    assert app.get_job(made["id"]).concurrency_key == "rate:t"
    assert "rate must be text such as" in sentence(
        cli("enqueue", "t", "--rate", "5", code=Exit.WRONG_INPUT)
    )
