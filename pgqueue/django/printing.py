"""The log of a worker's children: what the project's LOGGING leaves to nobody is printed."""

import logging
import os
import sys

from django.conf import settings

from pgqueue.worker.config import LEVEL_VARIABLE


def set_up() -> None:
    """Print to standard error what no handler of the project's takes; nothing where one does."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(_is_nobodys)
    root.addHandler(handler)
    root.setLevel(os.environ.get(LEVEL_VARIABLE, "info").upper())


def _is_nobodys(record: logging.LogRecord) -> bool:
    # With DEBUG, Django's own defaults print its records to the same place; without, nobody does.
    if record.name.partition(".")[0] != "django" or not settings.DEBUG:
        return True
    return not logging.getLogger("django").handlers
