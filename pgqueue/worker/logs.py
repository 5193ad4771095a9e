"""How a worker writes its log: a line, or a JSON object, for each record."""

import contextlib
import json
import logging
import os

import orjson

LEVELS = ("debug", "info", "warning", "error")
_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_STANDARD_ERROR = 2


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line).decode()
        except TypeError:
            # Text that is no Unicode, as the name of a file may be.
            return json.dumps(line)


class _Descriptor(logging.Handler):
    """Write to standard error in one go, whatever tasks have made of `sys.stderr`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            line = self.format(record) + "\n"
        except Exception:
            self.handleError(record)
            return
        with contextlib.suppress(OSError):
            os.write(_STANDARD_ERROR, line.encode("utf-8", "backslashreplace"))


def formatter(*, as_json: bool) -> logging.Formatter:
    """Give what makes text of a record."""
    return _JsonLines() if as_json else logging.Formatter(_TEXT)


def configure_child(level: str, *, as_json: bool) -> None:
    """Let a process that runs tasks log as its supervisor does, unless the application has said
    where its log goes; so it must be imported by now.

    Args:
        level: one of `LEVELS`.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    handler = _Descriptor()
    handler.setFormatter(formatter(as_json=as_json))
    # Also for loggers that have a level of their own, as Django's.
    handler.setLevel(level.upper())
    root.addHandler(handler)
    root.setLevel(level.upper())
