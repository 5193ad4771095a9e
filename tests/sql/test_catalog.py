"""What holds for every object of the schema and every file of sql/, whoever adds one."""

import re
from pathlib import Path

import pytest

from pgqueue.core.errors import SQLSTATES
from tests.helpers import ROOT
from tests.sql.calls import column
from tests.sql.sleeper import Connection

FILES = sorted((ROOT / "sql").glob("[0-9]*/*.sql"))

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)

#: Every object of the schema with its comment.
COMMENTS = """
    SELECT format('%s %s', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END,
        c.relname) AS object, obj_description(c.oid, 'pg_class') AS comment
    FROM pg_class AS c
    WHERE c.relnamespace = 'pgqueue'::regnamespace AND c.relkind IN ('r', 'v')
    UNION ALL
    SELECT format('column %s.%s', c.relname, a.attname), col_description(c.oid, a.attnum)
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'pgqueue'::regnamespace AND c.relkind = 'r'
    UNION ALL
    SELECT format('function %s', p.oid::regprocedure), obj_description(p.oid, 'pg_proc')
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pgqueue'::regnamespace
    UNION ALL
    SELECT format('trigger %s', t.tgname), obj_description(t.oid, 'pg_trigger')
    FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'pgqueue'::regnamespace AND NOT t.tgisinternal
    UNION ALL
    SELECT 'schema pgqueue', obj_description('pgqueue'::regnamespace, 'pg_namespace')
"""


# The catalog


def test_every_object_has_a_comment(c: Connection) -> None:
    objects = dict(c.execute(COMMENTS).fetchall())
    kinds = {name.split(" ")[0] for name in objects}
    assert kinds == {"schema", "table", "view", "column", "function", "trigger"}
    assert [name for name, comment in objects.items() if not (comment or "").strip()] == []


def test_every_comment_of_a_function_says_what_it_takes_and_gives(c: Connection) -> None:
    query = """
        SELECT p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc'), p.pronargs,
            p.prorettype NOT IN ('void'::regtype, 'trigger'::regtype)
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgqueue'::regnamespace
    """
    wrong = []
    for name, comment, arguments, returns in c.execute(query):
        if arguments and "\n\nArgs: " not in comment and "Internal" not in comment:
            wrong.append(f"{name}: no Args")
        if returns and "Returns: " not in comment:
            wrong.append(f"{name}: no Returns")
    assert wrong == []


def test_every_function_of_the_definer_pins_its_search_path(c: Connection) -> None:
    query = """
        SELECT p.oid::regprocedure::text
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgqueue'::regnamespace AND p.prosecdef
            AND NOT coalesce(p.proconfig, '{}') @> '{"search_path=pg_catalog, pgqueue, pg_temp"}'
    """
    assert column(c, query) == []


def test_public_may_do_nothing(c: Connection) -> None:
    query = """
        SELECT o.name
        FROM (
            SELECT n.nspname::text AS name, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl
            FROM pg_namespace AS n
            WHERE n.nspname = 'pgqueue'
            UNION ALL
            SELECT c.relname, coalesce(c.relacl, acldefault(
                CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
            FROM pg_class AS c
            WHERE c.relnamespace = 'pgqueue'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'S')
            UNION ALL
            SELECT c.relname || '.' || a.attname, a.attacl
            FROM pg_class AS c
            JOIN pg_attribute AS a ON a.attrelid = c.oid
            WHERE c.relnamespace = 'pgqueue'::regnamespace AND a.attacl IS NOT NULL
            UNION ALL
            SELECT p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
            FROM pg_proc AS p
            WHERE p.pronamespace = 'pgqueue'::regnamespace
        ) AS o
        CROSS JOIN LATERAL aclexplode(o.acl) AS x
        WHERE x.grantee = 0
    """
    assert column(c, query) == []


def test_every_trigger_fires_in_every_replication_role(c: Connection) -> None:
    """One INSTEAD OF a write to a view always does."""
    query = """
        SELECT t.tgname::text
        FROM pg_trigger AS t
        JOIN pg_class AS k ON k.oid = t.tgrelid
        WHERE k.relnamespace = 'pgqueue'::regnamespace AND k.relkind = 'r' AND NOT t.tgisinternal
            AND t.tgenabled <> 'A'
    """
    assert column(c, query) == []


def test_jobs_refuses_by_trigger_alone(c: Connection) -> None:
    """The error of a CHECK or a NOT NULL prints the row, arguments included."""
    query = """
        SELECT contype::text FROM pg_constraint
        WHERE conrelid = 'pgqueue.jobs'::regclass AND contype NOT IN ('p', 'n')
    """
    assert column(c, query) == []
    query = """
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = 'pgqueue.jobs'::regclass AND attnum > 0 AND attnotnull
    """
    assert column(c, query) == ["id"]


# The files


def code(path: Path) -> str:
    """The statements of a file without comments and bodies."""
    text = re.sub(r"^--.*$", "", path.read_text(), flags=re.M)
    text = re.sub(r"AS \$\$.*?^\$\$", "", text, flags=re.M | re.S)
    return re.sub(r"'(?:[^']|'')*'", "''", text)


@every_file
def test_a_file_begins_with_its_purpose(path: Path) -> None:
    head = path.read_text().split("\n\n")[0].splitlines()
    assert head[0].startswith("-- Purpose: ")


@every_file
def test_no_line_is_too_long(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if len(line) > 100] == []


@every_file
def test_a_file_holds_one_object(path: Path) -> None:
    """A table with its indexes, a function with its trigger; what is the schema's is in 00."""
    found = re.findall(
        r"^CREATE (?:OR REPLACE )?(TABLE|VIEW|FUNCTION|SCHEMA)\s+(?:pgqueue\.)?(\w+)",
        code(path),
        flags=re.M,
    )
    name = path.stem.split("_", 1)[1]
    if name in ("grants", "version"):
        assert found == []
    elif name == "schema":
        assert found == [("SCHEMA", "pgqueue"), ("TABLE", "schema_versions")]
    else:
        assert [object_name for _, object_name in found] == [name]
    for table in re.findall(r"^CREATE (?:UNIQUE )?INDEX \w+ ON pgqueue\.(\w+)", code(path), re.M):
        assert table == name
    triggers = re.findall(r"^CREATE TRIGGER (\w+)", code(path), re.M)
    assert triggers in ([], [name])


def test_numbers_of_files_do_not_go_beyond_two_digits() -> None:
    assert [path.name for path in FILES if not re.fullmatch(r"\d\d_[a-z_]+\.sql", path.name)] == []


# SQLSTATEs


def raised() -> dict[str, set[str]]:
    """The SQLSTATEs of ours that the files raise, and the files."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        for state in re.findall(r"ERRCODE = '(PQ\w+)'", path.read_text()):
            found.setdefault(state, set()).add(path.name)
    return found


def test_every_sqlstate_is_listed_and_every_listed_one_is_raised() -> None:
    assert set(raised()) == set(SQLSTATES)


def test_every_sqlstate_is_told_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "errors.md").read_text()
    for state, error in SQLSTATES.items():
        row = re.search(rf"^\| `{state}` \|.*$", text, re.M)
        assert row, f"{state} is not in docs/reference/errors.md"
        assert f"`{error.__name__}`" in row[0]


@every_file
def test_a_file_raises_with_a_code(path: Path) -> None:
    text = path.read_text()
    assert text.count("RAISE EXCEPTION") == text.count("ERRCODE = ")


@every_file
def test_a_header_and_a_comment_name_the_codes_that_are_raised(path: Path) -> None:
    text = path.read_text()
    header = text.split("\nCREATE ")[0]
    comment = text[text.find("COMMENT ON FUNCTION") :]
    for state in set(re.findall(r"ERRCODE = '(\w+)'", text)):
        assert state in header, f"{state} is not in the header"
        assert state in comment, f"{state} is not in the comment"
