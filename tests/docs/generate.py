"""Write the generated pages, or check that they are current.

python -m tests.docs.generate --write
python -m tests.docs.generate --check
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import psycopg

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.docs import cli_reference, python_reference, sql_reference
from tests.docs.pages import DOCS

PYTHON = DOCS / "reference" / "python.md"
SQL = DOCS / "reference" / "sql.md"


def generated(connection: psycopg.Connection[Any]) -> dict[Path, str]:
    """Give the pages as they should be, of a database with the schema in it."""
    return {
        PYTHON: python_reference.write(),
        SQL: sql_reference.write(connection),
        cli_reference.PAGE: cli_reference.write(),
    }


def main() -> None:
    """Start a server, install the schema, write or compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs.generate", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    words = parser.parse_args()
    with (
        EmbeddedServer.start(fsync=False) as server,
        psycopg.connect(server.dsn(), autocommit=True) as connection,
    ):
        schema.upgrade(connection)
        pages = generated(connection)
    stale = [
        path
        for path, text in pages.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if words.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages[path], encoding="utf-8")
        print(f"{'written' if words.write else 'stale'}: {path.relative_to(DOCS.parent)}")
    sys.exit(1 if stale and words.check else 0)


if __name__ == "__main__":
    main()
