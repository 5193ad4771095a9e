"""Run the examples of a page: its Python and SQL blocks, in order, against one database.

A Python block whose first line is `# shop.py` is written to that file and imported; the others
share one namespace. What a line prints must be what the comment behind it says
(`print(job.state())  # ready`), and so for a statement of SQL that stands on one line
(`SELECT pgqueue.cancel(1);  -- cancelled`).
"""

import contextlib
import importlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import psycopg

from tests.docs.pages import Block, Page

_PRINTS = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)
_STATEMENT = re.compile(r"((?:\$\$.*?\$\$|.)*?);[ \t]*(?:-- ([^\n]*))?$", re.MULTILINE | re.DOTALL)


class Runner:
    """Run blocks, one after the other.

    Args:
        connection: for SQL, in autocommit mode.
        folder: where files are written; it must be on the import path.
    """

    def __init__(self, page: Page, connection: psycopg.Connection[Any], folder: Path) -> None:
        self._page = page
        self._connection = connection
        self._folder = folder
        self._names: dict[str, Any] = {"__name__": "example"}

    def run(self, block: Block) -> None:
        """Run one block."""
        if block.language == "sql":
            self._run_sql(block)
        elif block.file_name is not None:
            self._import(block, block.file_name)
        else:
            self._run_python(block)

    def _import(self, block: Block, name: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        module = name.removesuffix(".py").replace("/", ".")
        sys.modules.pop(module, None)
        importlib.invalidate_caches()
        self._names |= vars(importlib.import_module(module)) | {"__name__": "example"}

    def _run_python(self, block: Block) -> None:
        # Line numbers in a traceback are those of the page.
        source = "\n" * (block.line - 1) + block.text
        code = compile(source, str(self._page.path), "exec", dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, self._names)
        expected = _PRINTS.findall(block.text)
        if expected:
            assert printed.getvalue().splitlines() == expected, f"{self._page.name}:{block.line}"

    def _run_sql(self, block: Block) -> None:
        for found in _STATEMENT.finditer(block.text):
            statement, expected = found[1].strip(), found[2]
            cursor = self._connection.execute(statement.encode())
            first = cursor.fetchone() if cursor.description else None
            if expected is not None and "\n" not in statement:
                assert first is not None, f"{self._page.name}: {statement} gave nothing"
                assert str(first[0]) == expected, f"{self._page.name}: {statement}"
