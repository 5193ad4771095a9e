"""The tables of sql/README.md name all there is; that its examples run is held in tests/docs."""

import re
from typing import Any

import psycopg

from pgqueue.core.errors import SQLSTATES
from tests.helpers import ROOT

Connection = psycopg.Connection[Any]

README = (ROOT / "sql" / "README.md").read_text()
SOURCES = "\n".join(path.read_text() for path in sorted((ROOT / "sql").glob("0*/*.sql")))


def test_it_names_every_sqlstate() -> None:
    rows = dict(re.findall(r"^\| `(PQ\d+)` \| .* \| `(\w+)` \|$", README, re.M))
    assert rows == {code: error.__name__ for code, error in SQLSTATES.items()}


def test_it_names_every_class_of_advisory_locks() -> None:
    assert set(re.findall(r"^\| `(\d{8})` \|", README, re.M)) == set(
        re.findall(r"\b706771\d\d\b", SOURCES)
    )


def test_it_names_every_channel_and_every_value_of_the_setting() -> None:
    assert set(re.findall(r"pg_notify\('(\w+)'", SOURCES)) == set(
        re.findall(r"^\| `(pgqueue\w*)` \|", README, re.M)
    )
    assert {"auto", "always", "off"} <= set(re.findall(r"^\| `(\w+)` \|", README, re.M))


def test_it_names_every_function_that_others_may_call(c: Connection) -> None:
    query = """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = 'pgqueue'::regnamespace AND p.prosecdef
            AND p.prorettype <> 'trigger'::regtype
    """
    missing = [name for (name,) in c.execute(query) if not re.search(rf"\b{name}\b", README)]
    assert missing == []
