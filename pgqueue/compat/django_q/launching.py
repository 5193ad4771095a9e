"""How an ordinary worker is started for one cluster of Q_CLUSTER."""

import json
import os
import sys
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections

from pgqueue.compat.django_q.conf import NAME_VARIABLE, Conf
from pgqueue.db.connections import DSN_VARIABLE
from pgqueue.django import connection

#: What a worker imports.
PROJECT: Final = "pgqueue.compat.django_q.project"
#: Names of the databases that this process uses, where its settings say otherwise, as in a test.
DATABASES_VARIABLE: Final = "PGQUEUE_DJANGO_Q_DATABASES"


def words(queue: str | None = None, *, burst: bool = False) -> list[str]:
    """Give the options of `python -m pgqueue worker`.

    Args:
        queue: what it takes tasks from; None for the queue of the cluster.
        burst: let it end when nothing is ready any more.
    """
    given = ["--app", PROJECT, "--queues", str(queue or Conf.CLUSTER_NAME)]
    given += ["--processes", str(Conf.WORKERS), "--log-level", _level(str(Conf.LOG_LEVEL))]
    if Conf.RECYCLE:
        given += ["--max-jobs", str(Conf.RECYCLE)]
    if Conf.MAX_RSS:
        given += ["--max-rss", f"{Conf.MAX_RSS}KiB"]
    return [*given, "--burst"] if burst else given


def environment() -> dict[str, str]:
    """Give the variables of a worker's process: where the project and its databases are.

    Raises:
        CommandError: the settings have no name by which they could be imported.
    """
    module = os.environ.get("DJANGO_SETTINGS_MODULE") or getattr(settings, "SETTINGS_MODULE", None)
    if not module:
        raise CommandError(
            "a worker imports the settings by their name, and these have none; set "
            "DJANGO_SETTINGS_MODULE instead of calling settings.configure()"
        )
    paths = (os.path.abspath(path) for path in sys.path)
    found = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": str(module),
        DSN_VARIABLE: connection.dsn(),
        DATABASES_VARIABLE: json.dumps(_names()),
        "PYTHONPATH": os.pathsep.join(
            path
            for path in dict.fromkeys(paths)
            if os.path.isdir(path) and not path.startswith((sys.prefix, sys.base_prefix))
        ),
    }
    if Conf.CLUSTER_NAME != Conf.PREFIX:
        found[NAME_VARIABLE] = str(Conf.CLUSTER_NAME)
    return found


def _names() -> dict[str, dict[str, Any]]:
    """Give where the databases of this process are."""
    keys = ("NAME", "USER", "HOST", "PORT")
    return {
        alias: {key: str(connections[alias].settings_dict[key]) for key in keys}
        for alias in connections
        if connections[alias].vendor == "postgresql"
    }


def _level(name: str) -> str:
    known = {"CRITICAL": "error", "FATAL": "error", "WARN": "warning"}
    level = known.get(name.upper(), name.lower())
    return level if level in ("debug", "info", "warning", "error") else "info"
