"""Install, upgrade, check, verify and uninstall, with small versions made for the purpose."""

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from pgqueue.core.errors import (
    ConnectionLostError,
    SchemaError,
    SchemaMissingError,
    SchemaModifiedError,
    SchemaOutdatedError,
    SchemaTooNewError,
)
from pgqueue.db import catalog, schema
from pgqueue.db.embedded import EmbeddedServer
from pgqueue.db.sqlfiles import default_root, read_versions
from tests.fixtures.databases import Database
from tests.helpers import eventually

FIRST = """-- Purpose: a schema with one of everything that verify compares.
CREATE SCHEMA pgqueue;
CREATE TABLE pgqueue.schema_versions (
    version integer PRIMARY KEY, sha256 text NOT NULL, breaking boolean NOT NULL DEFAULT false,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), manifest jsonb
);
CREATE TABLE pgqueue.jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task text NOT NULL CHECK (task <> ''),
    "größe" interval DEFAULT '90 s'
);
"""
SECOND = """CREATE INDEX jobs_task ON pgqueue.jobs (task) WHERE id > 5;
CREATE FUNCTION pgqueue.twice(n integer) RETURNS integer LANGUAGE sql IMMUTABLE
SET search_path = pgqueue, pg_temp AS $$ SELECT n * 2 $$;
CREATE FUNCTION pgqueue.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON pgqueue.jobs FOR EACH ROW EXECUTE FUNCTION pgqueue.refuse();
CREATE VIEW pgqueue.names AS SELECT id, task FROM pgqueue.jobs;
CREATE TYPE pgqueue.mood AS ENUM ('good', 'bad');
ALTER TABLE pgqueue.jobs ADD COLUMN mood pgqueue.mood;
CREATE DOMAIN pgqueue.word AS text CHECK (VALUE <> '');
"""
VERSION = """INSERT INTO pgqueue.schema_versions (version, sha256, breaking)
VALUES ({}, 'psql', false) ON CONFLICT (version) DO NOTHING;
"""
UPGRADE = "run: python -m pgqueue schema upgrade (in Django: manage.py migrate)"
FORCE = "or force it: python -m pgqueue schema uninstall --force"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with version 1."""
    write(tmp_path, "0001/00_schema.sql", FIRST)
    write(tmp_path, "0001/10_jobs.sql", SECOND)
    write(tmp_path, "0001/99_version.sql", VERSION.format(1))
    return tmp_path


@pytest.fixture
def two(root: Path) -> Path:
    """A folder with versions 1 and 2."""
    write(root, "0002/10_jobs.sql", "ALTER TABLE pgqueue.jobs ADD COLUMN queue text;")
    write(root, "0002/99_version.sql", VERSION.format(2))
    return root


def write(root: Path, name: str, content: str) -> None:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)


def only(root: Path, number: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the versions up to this one: what an older program brings."""
    older = tmp_path_factory.mktemp("older")
    for version in range(1, number + 1):
        shutil.copytree(root / f"{version:04}", older / f"{version:04}")
    return older


def psql(database: Database, root: Path) -> None:
    """Run all files, each for itself, as psql -f does."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for path in sorted(root.glob("*/*.sql")):
            connection.execute(path.read_bytes())


# Upgrading


def test_an_upgrade_installs_all_versions_once(bare_db: Database, two: Path) -> None:
    connection = bare_db.connect()
    report = schema.upgrade(connection, root=two)
    assert report == schema.UpgradeReport(version_before=None, version_after=2, applied=(1, 2))
    again = schema.upgrade(connection, root=two)
    assert again == schema.UpgradeReport(version_before=2, version_after=2)
    found = schema.status(connection, root=two)
    assert found.word == "current"
    assert [one.sha256 for one in found.installed] == [one.sha256 for one in read_versions(two)]
    assert found.problem() is None
    assert schema.verify(connection, root=two) == []
    schema.check(connection, root=two)


def test_only_what_is_missing_is_applied(
    bare_db: Database, two: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    connection = bare_db.connect()
    schema.upgrade(connection, root=only(two, 1, tmp_path_factory))
    with pytest.raises(SchemaOutdatedError) as caught:
        schema.check(connection, root=two)
    assert str(caught.value) == f"schema version 2 is needed, the database has 1; {UPGRADE}"
    assert (caught.value.needed, caught.value.found) == (2, 1)
    report = schema.upgrade(connection, root=two)
    assert report == schema.UpgradeReport(version_before=1, version_after=2, applied=(2,))


@pytest.mark.parametrize("autocommit", [True, False])
def test_each_version_is_committed(bare_db: Database, two: Path, autocommit: bool) -> None:
    write(two, "0002/20_bad.sql", "SELECT 1;\nSELECT 'ö', nonsense;\n")
    connection = bare_db.connect(autocommit=autocommit)
    with pytest.raises(SchemaError) as caught:
        schema.upgrade(connection, root=two)
    assert str(caught.value) == (
        'the server refused sql/0002/20_bad.sql in line 2: column "nonsense" does not exist; '
        "version 2 is not installed"
    )
    assert connection.info.transaction_status == TransactionStatus.IDLE
    other = bare_db.connect()
    assert schema.status(other, root=two).version_installed == 1
    assert bare_db.execute("SELECT * FROM pgqueue.jobs") == []


def test_an_upgrade_can_be_part_of_the_callers_transaction(bare_db: Database, two: Path) -> None:
    connection = bare_db.connect(autocommit=False, row_factory=dict_row)
    connection.execute("SET search_path = public")
    connection.commit()
    connection.execute("CREATE TABLE mine (n integer)")
    connection.execute("SET LOCAL lock_timeout = '7s'")
    assert schema.upgrade(connection, root=two).applied == (1, 2)
    settings = connection.execute(
        "SELECT current_setting('search_path') AS a, current_setting('lock_timeout') AS b"
    ).fetchone()
    assert settings == {"a": "public", "b": "7s"}
    assert schema.status(bare_db.connect(), root=two).word == "missing"
    connection.rollback()
    assert schema.status(connection, root=two).word == "missing"
    assert schema.upgrade(connection, root=two).applied == (1, 2)
    assert schema.status(bare_db.connect(), root=two).word == "current"


def test_settings_of_the_session_do_not_matter(bare_db: Database, root: Path) -> None:
    settings = {
        "default_transaction_isolation": "serializable",
        "default_transaction_read_only": "on",
        "statement_timeout": "1s",
        "search_path": "nowhere",
        "client_encoding": "LATIN1",
        "standard_conforming_strings": "off",
        "IntervalStyle": "iso_8601",
        "quote_all_identifiers": "on",
    }
    write(root, "0001/60_slow.sql", "SELECT pg_sleep(1.2);")
    odd = bare_db.connect(
        options=" ".join(f"-c {name}={value}" for name, value in settings.items())
    )
    schema.upgrade(odd, root=root)
    assert odd.execute("SHOW IntervalStyle").fetchone() == ("iso_8601",)
    assert odd.execute("SHOW statement_timeout").fetchone() == ("1s",)
    odd.execute("SET statement_timeout = 0")
    assert schema.verify(odd, root=root) == []
    assert schema.verify(bare_db.connect(), root=root) == []


def test_upgrades_at_once_wait_for_each_other(bare_db: Database, two: Path) -> None:
    reports: list[Any] = []

    def run() -> None:
        with psycopg.connect(bare_db.dsn) as connection:
            reports.append(schema.upgrade(connection, root=two))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 6
    assert sorted(number for report in reports for number in report.applied) == [1, 2]
    assert {report.version_after for report in reports} == {2}


def test_a_lock_that_others_hold_is_tried_again(bare_db: Database, two: Path) -> None:
    holder = bare_db.connect(autocommit=False)
    one = bare_db.connect()
    schema.upgrade(one, root=two)
    bare_db.execute("DELETE FROM pgqueue.schema_versions WHERE version = 2")
    bare_db.execute("ALTER TABLE pgqueue.jobs DROP COLUMN queue")
    holder.execute("LOCK TABLE pgqueue.jobs IN ACCESS SHARE MODE")
    with pytest.raises(SchemaError, match="others hold locks on the tables of pgqueue, tried 2 ti"):
        schema.upgrade(one, root=two, lock_timeout=0.05, attempts=2)
    reports: list[schema.UpgradeReport] = []
    thread = threading.Thread(
        target=lambda: reports.append(
            schema.upgrade(one, root=two, lock_timeout=0.05, attempts=1000)
        )
    )
    thread.start()
    # A third statement waits behind the upgrade's lock no longer than its timeout.
    eventually(lambda: waiting(bare_db))
    assert bare_db.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
    eventually(lambda: waiting(bare_db))
    holder.rollback()
    thread.join()
    assert reports[0].applied == (2,)
    assert reports[0].retries > 0


def waiting(database: Database) -> bool:
    query = (
        "SELECT count(*) FROM pg_locks WHERE relation = 'pgqueue.jobs'::regclass AND NOT granted"
    )
    return bool(database.execute(query)[0][0])


def test_a_broken_connection_is_told_in_a_sentence(bare_db: Database, root: Path) -> None:
    write(root, "0001/50_last.sql", "SELECT pg_terminate_backend(pg_backend_pid());")
    with pytest.raises(
        ConnectionLostError, match=r"during sql/0001/50_last\.sql; version 1 is not"
    ):
        schema.upgrade(bare_db.connect(), root=root)
    assert schema.status(bare_db.connect(), root=root).word == "missing"


def test_a_role_that_may_not_is_told_so(bare_db: Database, root: Path) -> None:
    with role(bare_db) as name:
        connection = bare_db.connect(user=name)
        with pytest.raises(SchemaError) as caught:
            schema.upgrade(connection, root=root)
        assert str(caught.value) == (
            "the server refused sql/0001/00_schema.sql: permission denied for database "
            f"{bare_db.name}; run it as a role that may create schemas in this database"
        )


class role:
    """A role without any privilege, for the duration of a block."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.name = f"{database.name}_stranger"

    def __enter__(self) -> str:
        self.database.execute(f'CREATE ROLE "{self.name}" LOGIN')
        return self.name

    def __exit__(self, *_: object) -> None:
        self.database.close()
        self.database.execute(f'DROP OWNED BY "{self.name}"; DROP ROLE "{self.name}"')


# psql


def test_what_psql_installed_is_taken_on(bare_db: Database, root: Path) -> None:
    psql(bare_db, root)
    connection = bare_db.connect()
    found = schema.status(connection, root=root)
    assert (found.word, found.by_psql) == ("current", (1,))
    schema.check(connection, root=root)
    with pytest.raises(SchemaError, match="installed by psql and never recorded, so there is"):
        schema.verify(connection, root=root)
    report = schema.upgrade(connection, root=root)
    assert report == schema.UpgradeReport(version_before=1, version_after=1, recorded=(1,))
    assert schema.status(connection, root=root).by_psql == ()
    assert schema.verify(connection, root=root) == []


def test_what_psql_left_half_way_is_refused(bare_db: Database, root: Path) -> None:
    bare_db.execute(FIRST)
    connection = bare_db.connect()
    assert schema.status(connection, root=root).word == "unrecorded"
    for call in (schema.check, schema.upgrade, schema.verify):
        with pytest.raises(SchemaModifiedError, match="names no version, as if psql had stopped"):
            call(connection, root=root)
    schema.uninstall(connection)
    assert schema.upgrade(connection, root=root).applied == (1,)


def test_psql_and_upgrade_make_the_same_catalog(
    bare_db: Database, server: EmbeddedServer, template: str
) -> None:
    """The real files, run by the real psql, where the server's programs include one."""
    with psycopg.connect(server.dsn(template)) as connection:
        expected = catalog.read_manifest(connection)
    program = server.bin_dir / "psql"
    for path in sorted(default_root().glob("*/*.sql")):
        subprocess.run(
            [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path, bare_db.dsn],
            check=True,
            capture_output=True,
        )
    assert catalog.compare(expected, catalog.read_manifest(bare_db.connect())) == []
    assert schema.upgrade(bare_db.connect()).recorded == (1,)
    assert len(expected) > 100


# Checking


def test_a_database_without_the_schema(bare_db: Database, root: Path) -> None:
    connection = bare_db.connect()
    assert schema.status(connection, root=root).word == "missing"
    with pytest.raises(SchemaMissingError) as caught:
        schema.check(connection, root=root)
    assert str(caught.value) == f"the pgqueue schema is not in this database; {UPGRADE}"
    with pytest.raises(SchemaMissingError):
        schema.verify(connection, root=root)
    with pytest.raises(SchemaMissingError):
        schema.uninstall(connection)


@pytest.mark.parametrize("breaking", [False, True])
def test_a_newer_schema_matters_if_it_is_breaking(
    bare_db: Database, two: Path, tmp_path_factory: pytest.TempPathFactory, breaking: bool
) -> None:
    older = only(two, 1, tmp_path_factory)
    if breaking:
        write(two, "0002/00_first.sql", "-- breaking\nSELECT 1;")
    connection = bare_db.connect()
    schema.upgrade(connection, root=two)
    if not breaking:
        schema.check(connection, root=older)
        assert schema.status(connection, root=older).word == "newer"
        assert schema.upgrade(connection, root=older).version_after == 2
        assert schema.verify(connection, root=older) == []
        return
    for call in (schema.check, schema.upgrade):
        with pytest.raises(SchemaTooNewError) as caught:
            call(connection, root=older)
        assert str(caught.value) == (
            "the database has schema version 2, which this pgqueue (schema 1) cannot work with; "
            "upgrade pgqueue on this machine"
        )
    schema.check(connection, root=two)


def test_files_that_are_not_those_that_were_applied(bare_db: Database, root: Path) -> None:
    connection = bare_db.connect()
    schema.upgrade(connection, root=root)
    write(root, "0001/10_jobs.sql", SECOND + "-- edited\n")
    for call in (schema.check, schema.upgrade):
        with pytest.raises(SchemaModifiedError, match="version 1 in this database was not made fr"):
            call(connection, root=root)
    (difference,) = schema.verify(connection, root=root)
    assert (difference.object, difference.problem) == ("version 0001", "changed")


def test_checking_needs_few_privileges(bare_db: Database, root: Path) -> None:
    with role(bare_db) as name:
        stranger = bare_db.connect(user=name)
        with pytest.raises(SchemaMissingError):
            schema.check(stranger, root=root)
        schema.upgrade(bare_db.connect(), root=root)
        with pytest.raises(SchemaError, match="this role may not read the version of the schema"):
            schema.check(stranger, root=root)
        bare_db.execute(
            f'GRANT USAGE ON SCHEMA pgqueue TO "{name}"; '
            f'GRANT SELECT ON pgqueue.schema_versions TO "{name}"'
        )
        schema.check(stranger, root=root)
        assert schema.verify(stranger, root=root) == []
        bare_db.execute("DROP INDEX pgqueue.jobs_task")
        assert [str(one) for one in schema.verify(stranger, root=root)] == [
            "index jobs_task is missing"
        ]


# Verifying


JOBS = "ALTER TABLE pgqueue.jobs"
TWICE = "function twice(n integer)"
CHANGES = [
    ("DROP VIEW pgqueue.names", "view names", "missing"),
    ("CREATE TABLE pgqueue.more ()", "table more", "added"),
    (f"{JOBS} SET UNLOGGED", "table jobs", "changed: expected r p; got r u"),
    (f"{JOBS} ADD n int", "column jobs.n", "added"),
    (f"{JOBS} DROP COLUMN mood", "column jobs.mood", "missing"),
    (f"{JOBS} ALTER task DROP NOT NULL", "column jobs.task", "changed: expected text not null; g"),
    (
        f"{JOBS} ALTER mood TYPE text",
        "column jobs.mood",
        "changed: expected pgqueue.mood; got text",
    ),
    (f"{JOBS} ALTER \"größe\" SET DEFAULT '2 h'", "column jobs.größe", "changed"),
    (f"{JOBS} DROP CONSTRAINT jobs_pkey", "constraint jobs_pkey on pgqueue.jobs", "missing"),
    (f"{JOBS} ADD CHECK (id > 0)", "constraint jobs_id_check on pgqueue.jobs", "added"),
    ("CREATE INDEX mine ON pgqueue.jobs (id)", "index mine", "added"),
    (f"{JOBS} DISABLE TRIGGER refuse", "trigger refuse on jobs", "changed"),
    (f"{JOBS} ENABLE ALWAYS TRIGGER refuse", "trigger refuse on jobs", "changed"),
    ("DROP TRIGGER refuse ON pgqueue.jobs", "trigger refuse on jobs", "missing"),
    ("ALTER FUNCTION pgqueue.twice SET work_mem = '1MB'", TWICE, "changed"),
    ("ALTER FUNCTION pgqueue.twice VOLATILE", TWICE, "changed"),
    ("ALTER FUNCTION pgqueue.refuse SECURITY INVOKER", "function refuse()", "changed"),
    (
        "CREATE OR REPLACE FUNCTION pgqueue.twice(n integer) RETURNS integer LANGUAGE sql "
        "IMMUTABLE SET search_path = pgqueue, pg_temp AS $$ SELECT n * 3 $$",
        TWICE,
        "changed",
    ),
    (
        "CREATE FUNCTION pgqueue.twice(n bigint) RETURNS bigint RETURN n",
        "function twice(n bigint)",
        "added",
    ),
    (
        "CREATE OR REPLACE VIEW pgqueue.names AS SELECT id, lower(task) AS task FROM pgqueue.jobs",
        "view names",
        "changed: expected SELECT ",
    ),
    (
        "ALTER TYPE pgqueue.mood ADD VALUE 'so so'",
        "type mood",
        "changed: expected good, bad; got good, bad, so so",
    ),
    (f"{JOBS} ENABLE ROW LEVEL SECURITY", "table jobs", "changed: expected r p; got r p row secur"),
    ("CREATE POLICY mine ON pgqueue.jobs USING (true)", "policy mine on jobs", "added"),
    (
        "CREATE RULE mine AS ON DELETE TO pgqueue.jobs DO INSTEAD NOTHING",
        "rule mine on jobs",
        "added",
    ),
]


@pytest.mark.parametrize(("change", "name", "problem"), CHANGES)
def test_every_kind_of_change_is_seen(
    bare_db: Database, root: Path, change: str, name: str, problem: str
) -> None:
    connection = bare_db.connect()
    schema.upgrade(connection, root=root)
    connection.execute(change)
    lines = [str(difference) for difference in schema.verify(connection, root=root)]
    assert any(line.startswith(f"{name} is {problem}") for line in lines), lines


def test_what_suits_a_machine_is_no_difference(bare_db: Database, root: Path) -> None:
    connection = bare_db.connect()
    schema.upgrade(connection, root=root)
    connection.execute("ALTER TABLE pgqueue.jobs SET (fillfactor = 70)")
    connection.execute("COMMENT ON TABLE pgqueue.jobs IS 'ours'")
    connection.execute("GRANT SELECT ON pgqueue.jobs TO PUBLIC")
    connection.execute("INSERT INTO pgqueue.jobs (task) VALUES ('t')")
    assert schema.verify(connection, root=root) == []


def test_after_a_new_major_version_only_what_it_words_alike_is_compared() -> None:
    expected = {"server": "15", "index a": "btree", "view b": "SELECT", "function f()": "md5 1"}
    found = {"server": "18", "index a": "BTREE", "function f()": "md5 2"}
    assert [str(one) for one in catalog.compare(expected, found)] == [
        "function f() is changed: expected md5 1; got md5 2",
        "view b is missing",
    ]


# Uninstalling


def test_uninstalling_leaves_nothing(db: Database) -> None:
    connection = db.connect(autocommit=False)
    schema.uninstall(connection)
    assert schema.status(connection).word == "missing"
    assert schema.upgrade(connection).applied == (1,)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (
            "INSERT INTO pgqueue.workers (name) VALUES ('w')",
            f"the schema is in use by 1 live workers; stop them first, {FORCE}",
        ),
        (
            "SELECT pgqueue.enqueue(task => 't'); "
            "SELECT pgqueue.enqueue(task => 't', run_at => now() + '1 hour')",
            f"unfinished jobs would be lost: 1 ready, 1 scheduled; let them finish, {FORCE}",
        ),
    ],
)
def test_a_schema_in_use_is_not_removed_unless_forced(
    db: Database, prepare: str, said: str
) -> None:
    connection = db.connect()
    connection.execute(prepare)
    with pytest.raises(SchemaError) as caught:
        schema.uninstall(connection)
    assert str(caught.value) == said
    schema.check(connection)
    schema.uninstall(connection, force=True)
    schema.upgrade(connection)


def test_a_role_that_does_not_own_it_cannot_remove_it(bare_db: Database, root: Path) -> None:
    schema.upgrade(bare_db.connect(), root=root)
    with role(bare_db) as name, pytest.raises(SchemaError, match="must be owner of schema pgqueue"):
        schema.uninstall(bare_db.connect(user=name), force=True)


CALLS: list[Callable[..., Any]] = [schema.status, schema.check, schema.verify, schema.upgrade]


@pytest.mark.parametrize("call", CALLS)
def test_no_call_leaves_a_transaction_open(
    bare_db: Database, root: Path, call: Callable[..., Any]
) -> None:
    schema.upgrade(bare_db.connect(), root=root)
    connection = bare_db.connect(autocommit=False)
    call(connection, root=root)
    assert connection.info.transaction_status == TransactionStatus.IDLE
