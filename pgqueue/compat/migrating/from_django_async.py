"""What the tables of django-async become: groups, jobs that wait or are over, and errors."""

import json
from collections.abc import Sequence
from typing import Any, Final

from django.db import connections

from pgqueue.compat.django_async import plain
from pgqueue.compat.migrating.engine import Kind, Moved, RefusedRow, Row, became
from pgqueue.core.errors import ConfigurationError, PgQueueError
from pgqueue.compat import paths
from pgqueue.django import conf

_JOB: Final = (
    "name", "args", "kwargs", "meta", "result", "priority", "identity", "added", "scheduled",
    "started", "executed", "cancelled", "group_id",
)  # fmt: skip
_OPEN: Final = "executed IS NULL AND cancelled IS NULL"
_OVER: Final = "(executed IS NOT NULL OR cancelled IS NOT NULL)"
