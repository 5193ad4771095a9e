"""`schema`, and what every command says of a schema that does not fit."""

import pytest

from pgqueue.db.sqlfiles import read_versions
from tests.cli.conftest import Cli, answer, sentence
from tests.fixtures.databases import Database

NEWEST = read_versions()[-1].number
#: One call of each command that needs the schema.
COMMANDS = (
    ["worker", "--burst"],
    ["enqueue", "t"],
    ["jobs", "list"],
    ["jobs", "show", "1"],
    ["jobs", "retry", "1"],
    ["jobs", "cancel", "1"],
    ["jobs", "delete", "1"],
    ["queues", "list"],
    ["queues", "pause", "mail"],
    ["queues", "resume", "mail"],
    ["queues", "configure", "mail", "--reset"],
    ["workers", "list"],
    ["health"],
    ["check"],
    ["prune"],
)


def test_from_nothing_to_nothing(bare_db: Database, cli_of: Cli) -> None:
    dsn = bare_db.dsn

    def schema(*words: str, code: int = 0) -> object:
        return answer(cli_of("schema", *words, "--json", code=code, dsn=dsn))

    missing = cli_of("schema", "status", "--json", code=4, dsn=dsn)
    assert '"status": "missing"' in missing.stdout
    assert "run: python -m pgqueue schema upgrade" in missing.stderr
    assert schema("upgrade") == {
        "version_before": None,
        "version_after": NEWEST,
        "applied": list(range(1, NEWEST + 1)),
        "recorded": [],
        "retries": 0,
    }
    again = cli_of("schema", "upgrade", dsn=dsn)
    assert again.stdout == f"schema: nothing to do, version {NEWEST} is there\n"
    status = schema("status")
    assert isinstance(status, dict)
    assert status["status"] == "current"
    assert status["problem"] is None
    assert [version["number"] for version in status["versions"]] == list(range(1, NEWEST + 1))
    assert f"current: version {NEWEST} installed" in cli_of("schema", "status", dsn=dsn).stdout
    assert schema("verify") == []
    assert cli_of("schema", "verify", dsn=dsn).stdout == "everything is as it was installed\n"
    assert schema("uninstall", "--yes") == {"uninstalled": True}
    assert cli_of("schema", "upgrade", dsn=dsn).stdout == (
        "schema: " + "; ".join(f"installed version {n}" for n in range(1, NEWEST + 1)) + "\n"
    )
    assert cli_of("schema", "uninstall", "--yes", dsn=dsn).stdout == "schema: uninstalled\n"
    assert "nothing to do" in sentence(cli_of("schema", "uninstall", "--yes", code=4, dsn=dsn))


def test_what_psql_installed_is_taken_on(bare_db: Database, cli_of: Cli) -> None:
    for version in read_versions():
        for file in version.files:
            bare_db.execute(file.content)
    dsn = bare_db.dsn
    assert "run: python -m pgqueue schema upgrade" in sentence(
        cli_of("schema", "verify", code=1, dsn=dsn)
    )
    said = cli_of("schema", "upgrade", dsn=dsn).stdout
    assert "recorded version 1, which psql had installed" in said


def test_verify_lists_differences(bare_db: Database, cli_of: Cli) -> None:
    cli_of("schema", "upgrade", dsn=bare_db.dsn)
    bare_db.execute("CREATE TABLE pgqueue.mine (x integer)")
    bare_db.execute("DROP VIEW pgqueue.worker_overview")
    found = answer(cli_of("schema", "verify", "--json", code=1, dsn=bare_db.dsn))
    assert {"table mine", "view worker_overview"} <= {item["object"] for item in found}
    assert all(set(item) == {"object", "problem", "expected", "found"} for item in found)
    said = cli_of("schema", "verify", code=1, dsn=bare_db.dsn).stdout
    assert "view worker_overview  missing" in said


def test_uninstall_is_careful(db: Database, cli: Cli) -> None:
    assert "give --yes" in sentence(cli("schema", "uninstall", code=2))
    cli("enqueue", "t")
    assert "1 ready" in sentence(cli("schema", "uninstall", "--yes", code=1))
    cli("health", code=1)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_missing_schema(bare_db: Database, cli_of: Cli, command: list[str]) -> None:
    said = sentence(cli_of(*command, code=4, dsn=bare_db.dsn))
    assert said.endswith("run: python -m pgqueue schema upgrade (in Django: manage.py migrate)")


def test_a_worker_meets_another_schema(db: Database, run: Cli) -> None:
    db.execute("UPDATE pgqueue.schema_versions SET sha256 = 'other' WHERE version = 1")
    assert "was not made from the files of this pgqueue" in sentence(run("worker", code=4))
    db.execute(
        "INSERT INTO pgqueue.schema_versions (version, sha256, breaking) VALUES (99, 'x', true)"
    )
    assert "upgrade pgqueue on this machine" in sentence(run("worker", code=4))
    db.execute("DELETE FROM pgqueue.schema_versions")
    assert "names no version" in sentence(run("worker", code=4))


def test_a_newer_schema_that_bears_us(db: Database, run: Cli) -> None:
    db.execute(
        "INSERT INTO pgqueue.schema_versions (version, sha256, breaking) VALUES (99, 'x', false)"
    )
    assert "ready: pid" in run("worker", "--burst").stderr
    db.execute("DELETE FROM pgqueue.schema_versions WHERE version = 99")
