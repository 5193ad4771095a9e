"""The lines of a worker's log."""

import json
import logging
import sys
from typing import Any

from pgqueue.worker import logs


def written(message: str, *values: object) -> dict[str, Any]:
    """What is written of a record as JSON."""
    exc_info = sys.exc_info() if sys.exc_info()[0] else None
    record = logging.LogRecord("a.b", logging.INFO, "f.py", 1, message, values, exc_info)
    return dict(json.loads(logs.formatter(as_json=True).format(record)))


def test_a_line_is_one_object() -> None:
    found = written("two\nlines of %s", "ä")
    assert (found["level"], found["logger"], found["message"]) == ("INFO", "a.b", "two\nlines of ä")


def test_text_that_is_no_unicode_is_written_all_the_same() -> None:
    """As a file's name that a task logs, or an exception with such a message."""
    assert written("file %s", "\udcff")["message"] == "file \udcff"
    try:
        raise ValueError("\udcff")
    except ValueError:
        assert "ValueError" in written("failed")["traceback"]
