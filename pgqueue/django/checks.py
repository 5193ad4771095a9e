"""System checks: what is wrong with the settings, or with the schema in the database."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, router
from django.db.migrations.recorder import MigrationRecorder

from pgqueue.api.queues import Queues, check_configuration
from pgqueue.core.errors import (
    PgQueueError,
    SchemaMissingError,
    SchemaOutdatedError,
    shown,
    suggest,
)
from pgqueue.core.options import check_queue
from pgqueue.db import schema
from pgqueue.django import conf
from pgqueue.django.router import LABEL

_KINDS: dict[str, tuple[type, str]] = {
    "DATABASE": (str, "an alias of DATABASES"),
    "AUTODISCOVER": (str, "the name of a module, or empty for none"),
    "QUEUES": (Mapping, "a dictionary of settings by queue"),
    "MISSING_OBJECTS": (str, f"one of {', '.join(conf.MISSING_OBJECTS)}"),
    "REDACT": (Sequence, "a list of parts of names whose values the admin hides"),
    "ALLOW": (Sequence, "a list of paths such as math.* or shop.tasks.send"),
    "PICKLE": (bool, "True or False"),
    "DJANGO_FUTURE": (Mapping, "a dictionary of settings of pgqueue.compat.django_future"),
}


def register() -> None:
    """Register them."""
    checks.register(check_settings)
    checks.register(check_schema, checks.Tags.database)


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check the setting PGQUEUE; connects to nothing."""
    given = getattr(settings, "PGQUEUE", {})
    if not isinstance(given, Mapping):
        return [
            checks.Error(
                f"PGQUEUE must be a dictionary; got {type(given).__name__}",
                hint=f"Its keys are {', '.join(conf.DEFAULTS)}.",
                id="pgqueue.E001",
            )
        ]
    return [*_keys(given), *_queues(), *_database()]


def check_schema(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Check that the schema is the one that this pgqueue needs."""
    alias = conf.database()
    if alias not in (databases or ()) or alias not in settings.DATABASES:
        return []
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return []
    try:
        if (LABEL, "0001_initial") not in MigrationRecorder(connection).applied_migrations():
            return []  # Django says itself what is to be migrated.
        connection.ensure_connection()
        problem = schema.status(connection.connection).problem()
    except (DatabaseError, PgQueueError):
        return []  # Not reachable, or not readable by this role: of no interest here.
    if problem is None:
        return []
    # Of the others an upgrade makes nothing better; they say themselves what does.
    mends = isinstance(problem, (SchemaMissingError, SchemaOutdatedError))
    hint = "Run manage.py pgqueue schema upgrade." if mends else None
    return [checks.Warning(str(problem), hint=hint, id="pgqueue.W001")]


def _keys(given: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    for name, value in given.items():
        if name not in _KINDS:
            near = suggest(str(name), _KINDS)
            yield checks.Error(
                f"PGQUEUE has no key {shown(name)}{near}",
                hint=f"Its keys are {', '.join(_KINDS)}.",
                id="pgqueue.E002",
            )
            continue
        kind, words = _KINDS[name]
        if (
            not isinstance(value, kind)
            or (kind is Sequence and not _are_texts(value))
            or (name == "MISSING_OBJECTS" and value not in conf.MISSING_OBJECTS)
        ):
            yield checks.Error(
                f'PGQUEUE["{name}"] must be {words}; got {shown(value)}',
                hint=f"The default is {conf.DEFAULTS[name]!r}.",
                id="pgqueue.E003",
            )


def _are_texts(value: Any) -> bool:
    return not isinstance(value, str) and all(isinstance(item, str) for item in value)


def _queues() -> Iterator[checks.CheckMessage]:
    words = set(inspect.signature(Queues.configure).parameters) - {"self", "queue"}
    for name, options in conf.queues().items():
        try:
            check_queue(name)
            if not isinstance(options, Mapping):
                raise ValueError(f"its settings must be a dictionary; got {shown(options)}")
            for word in options:
                if word not in words:
                    raise ValueError(f"there is no setting {shown(word)}{suggest(word, words)}")
            check_configuration(**options)
        except ValueError as error:
            yield checks.Error(
                f'PGQUEUE["QUEUES"][{shown(name)}]: {error}',
                hint=f"A queue's settings are {', '.join(sorted(words))}.",
                id="pgqueue.E004",
            )


def _database() -> Iterator[checks.CheckMessage]:
    alias = conf.database()
    if alias not in settings.DATABASES:
        yield checks.Error(
            f'PGQUEUE["DATABASE"] must be an alias of DATABASES; got {shown(alias)}'
            f"{suggest(alias, settings.DATABASES)}",
            hint=f"DATABASES has {', '.join(settings.DATABASES)}.",
            id="pgqueue.E005",
        )
        return
    vendor = connections[alias].vendor
    if vendor != "postgresql":
        yield checks.Error(
            f"the database {shown(alias)} must be PostgreSQL; its engine is for {vendor}",
            hint='Name another in PGQUEUE["DATABASE"].',
            id="pgqueue.E006",
        )
    elif alias != DEFAULT_DB_ALIAS and router.allow_migrate(DEFAULT_DB_ALIAS, LABEL):
        yield checks.Warning(
            f"the queue is in the database {shown(alias)}, and no router says so",
            hint='Add "pgqueue.django.Router" to DATABASE_ROUTERS.',
            id="pgqueue.W002",
        )
