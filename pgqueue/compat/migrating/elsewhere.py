"""Tasks of django-q that wait in no table: where they are, how many, and what to do about them."""

import importlib
from collections.abc import Mapping
from typing import Any, Final

from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.migrating.report import Stay

#: By the keys of Q_CLUSTER that name them.
_NAMES: Final = {
    "redis": "Redis",
    "django_redis": "Redis",
    "sqs": "Amazon SQS",
    "iron_mq": "IronMQ",
    "mongo": "MongoDB",
    "disque_nodes": "Disque",
}
_DO: Final = (
    "let the old cluster run until its queue_size() is 0, without anything that enqueues there, "
    "before the new workers start"
)
#: Seconds in which Redis must answer.
_PATIENCE: Final = 2


def stays() -> list[Stay]:
    """Give what the brokers that Q_CLUSTER names may hold."""
    own: Mapping[str, Any] = Conf.conf
    found: dict[str, Stay] = {}
    for key, name in _NAMES.items():
        if own.get(key):
            count, why = _count_in_redis(own) if name == "Redis" else (None, "ask the broker")
            found[name] = Stay(what="tasks", where=name, count=count, why=why, do=_DO)
    if not found and not own.get("orm") and not own.get("broker_class"):
        # That one was used where nothing was named.
        count, why = _count_in_redis(own)
        if count:
            found["Redis"] = Stay(what="tasks", where="Redis", count=count, why=why, do=_DO)
    return list(found.values())


def _count_in_redis(own: Mapping[str, Any]) -> tuple[int | None, str]:
    """Count them; or tell why that cannot be."""
    clusters = own.get("ALT_CLUSTERS")
    names = {Conf.PREFIX, Conf.CLUSTER_NAME, *(clusters if isinstance(clusters, Mapping) else ())}
    try:
        client = _redis(own)
        return sum(int(client.llen(f"django_q:{name}:q")) for name in names), ""
    except ImportError as error:
        return None, f"the package {error.name} is not installed"
    except Exception as error:
        # Whatever a client of another's making raises; its message may hold a password.
        return None, f"it did not answer ({type(error).__name__})"


def _redis(own: Mapping[str, Any]) -> Any:
    if own.get("django_redis"):
        django_redis: Any = importlib.import_module("django_redis")
        return django_redis.get_redis_connection(own["django_redis"])
    redis: Any = importlib.import_module("redis")
    place = own.get("redis") or {}
    patience = {"socket_connect_timeout": _PATIENCE, "socket_timeout": _PATIENCE}
    if isinstance(place, str):
        return redis.from_url(place, **patience)
    return redis.StrictRedis(**{**patience, **place})
