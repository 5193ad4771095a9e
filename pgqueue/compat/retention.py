"""How long rows are kept: the old libraries kept them until somebody deleted them, so do these."""

from typing import Any, Final

from django.db import connections

from pgqueue.django import conf, install

#: In hours, which are as long in every time zone: a hundred years.
_LONG: Final = "876600 h"


def keep(using: str, queue: str, details: dict[str, Any]) -> None:
    """Keep the finished jobs of a queue, unless somebody has said how long; after a migration.

    Args:
        using: the alias of the database that was migrated.
        details: what else the signal `post_migrate` carries.
    """
    connection = connections[using]
    # `flush` emptied the tables, and looks them through anew at each test where it finds a row.
    if "plan" not in details or not install.is_ours(connection) or _is_said(queue):
        return
    if not install.is_installed(connection):
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pgqueue.configure_queue(%s, %s::interval, %s::interval) WHERE NOT EXISTS ("
            "SELECT FROM pgqueue.queues AS q WHERE q.name = %s "
            "AND coalesce(q.retention_succeeded, q.retention_other) IS NOT NULL)",
            [queue, _LONG, _LONG, queue],
        )


def _is_said(queue: str) -> bool:
    return any(word.startswith("retention") for word in conf.queues().get(queue, ()))
