"""System checks of the setting Q_CLUSTER: what is wrong with it, or has no meaning here."""

import logging
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core import checks

from pgqueue.compat.django_q import conf
from pgqueue.compat.django_q.keys import BROKERS, KEYS, SAVE_LIMITS, Key
from pgqueue.core.errors import shown, suggest
from pgqueue.core.options import check_queue
from pgqueue.django import conf as native


def register() -> None:
    """Register them."""
    checks.register(check_settings)


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check the setting Q_CLUSTER; connects to nothing."""
    found = getattr(settings, "Q_CLUSTER", {})
    if not isinstance(found, Mapping):
        return [
            checks.Error(
                f"Q_CLUSTER must be a dictionary; got {type(found).__name__}",
                hint=f"Its keys are {', '.join(KEYS)}.",
                id="django_q.E001",
            )
        ]
    return [*_cluster(found, "Q_CLUSTER"), *_others(found), *_places(found)]


def _cluster(found: Mapping[str, Any], path: str) -> Iterator[checks.CheckMessage]:
    for name, value in found.items():
        at = f'{path}["{name}"]'
        key = KEYS.get(name) if isinstance(name, str) else None
        if key is None:
            yield checks.Error(
                f"{path} has no key {shown(name)}{suggest(str(name), KEYS)}",
                hint=f"Its keys are {', '.join(KEYS)}.",
                id="django_q.E002",
            )
        elif value is not None and not _fits(key, value):
            yield checks.Error(
                f"{at} must be {key.words}; got {shown(value)}",
                hint=f"The default is {key.default!r}.",
                id="django_q.E003",
            )
        else:
            yield from _meaning(name, value, at)


def _fits(key: Key, value: Any) -> bool:
    if not isinstance(value, key.kinds) or (isinstance(value, bool) and bool not in key.kinds):
        return False
    return key.least is None or not isinstance(value, int | float) or value >= key.least


def _meaning(name: str, value: Any, at: str) -> Iterator[checks.CheckMessage]:
    """Look at what a value means."""
    known = [level for level in logging.getLevelNamesMapping() if level != "NOTSET"]
    if name == "save_limit_per" and value not in SAVE_LIMITS:
        yield checks.Warning(
            f"{at} must be {KEYS[name].words}; got {shown(value)}{suggest(value, SAVE_LIMITS[:3])}",
            hint="As it is, all successes together have the limit.",
            id="django_q.W001",
        )
    elif name == "log_level" and value is not None and value.upper() not in known:
        yield checks.Error(
            f"{at} must be one of {', '.join(known)}; got {shown(value)}"
            f"{suggest(value.upper(), known)}",
            hint="The default is INFO.",
            id="django_q.E004",
        )
    elif name == "time_zone" and value is not None and not _is_zone(value):
        yield checks.Error(
            f"{at} must be the name of a time zone; got {shown(value)}",
            hint="Such as Europe/Amsterdam; the default is TIME_ZONE.",
            id="django_q.E005",
        )
    elif name == "cache" and value is not None and value not in settings.CACHES:
        yield checks.Error(
            f"{at} must be an alias of CACHES; got {shown(value)}{suggest(value, settings.CACHES)}",
            hint=f"CACHES has {', '.join(settings.CACHES)}.",
            id="django_q.E006",
        )
    elif name in ("name", "cluster_name") and value is not None:
        yield from _queue(value, at)
    elif name == "error_reporter":
        yield from _reporters(value, at)


def _queue(name: str, at: str) -> Iterator[checks.CheckMessage]:
    try:
        check_queue(name)
    except ValueError as error:
        yield checks.Error(
            f"{at} is the name of a queue: {error}",
            hint="1 to 200 bytes of text.",
            id="django_q.E007",
        )


def _reporters(value: Mapping[str, Any] | None, at: str) -> Iterator[checks.CheckMessage]:
    known = {entry.name for entry in entry_points(group=conf.REPORTERS)}
    for name in value or ():
        if name not in known:
            yield checks.Warning(
                f"{at}: no installed package reports errors to {shown(name)}",
                hint=f"Install one with an entry point {shown(name)} in {conf.REPORTERS}.",
                id="django_q.W002",
            )


def _others(found: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    """Look at the other clusters."""
    others = found.get("ALT_CLUSTERS")
    if isinstance(others, Mapping):
        for name, words in others.items():
            at = f'Q_CLUSTER["ALT_CLUSTERS"]["{name}"]'
            yield from _queue(name, at)
            if not isinstance(words, Mapping):
                yield checks.Error(
                    f"{at} must be a dictionary; got {shown(words)}",
                    hint="Its keys are those of Q_CLUSTER.",
                    id="django_q.E008",
                )
            else:
                yield from _cluster(words, at)
    name = os.environ.get(conf.NAME_VARIABLE)
    try:
        conf.given()
    except conf.ClusterNameError as error:
        yield checks.Error(str(error), hint=f"Or unset {conf.NAME_VARIABLE}.", id="django_q.E009")
        return
    if name and isinstance(others, Mapping) and others and not _is_known(name, found, others):
        yield checks.Warning(
            f"{conf.NAME_VARIABLE} is {shown(name)}, and Q_CLUSTER knows no such cluster"
            f"{suggest(name, [str(one) for one in others])}",
            hint=f"It has {', '.join(map(str, others))}.",
            id="django_q.W003",
        )


def _is_known(name: str, found: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    return name in others or name in (found.get("name"), found.get("cluster_name"))


def _places(found: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    """Tell what the settings of brokers mean now."""
    orm = found.get("orm")
    if isinstance(orm, str) and orm != native.database():
        yield checks.Warning(
            f'Q_CLUSTER["orm"] is {shown(orm)}, and tasks are in the database '
            f"{shown(native.database())}",
            hint=f'Set PGQUEUE = {{"DATABASE": "{orm}"}}.',
            id="django_q.W004",
        )
    for name in BROKERS:
        if found.get(name):
            yield checks.Info(
                f'Q_CLUSTER["{name}"] has no meaning here: tasks are in PostgreSQL',
                hint="Remove it once no old cluster needs it.",
                id="django_q.I001",
            )


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        return False
    return True
