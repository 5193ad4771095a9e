"""The keys of the setting Q_CLUSTER: what each is called, what it is worth unless given, what it
does here.

Nothing here reads a setting: `conf` does, `checks` says what is wrong with one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_NUMBER = (int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Describe one key.

    Attributes:
        attribute: of `Conf`.
        default: what it is worth where it is not given and not computed.
        kinds: of values.
        words: what a value must be, for a message.
        does: what it does here; empty where it has no meaning.
        least: of a number.
    """

    attribute: str
    default: Any = None
    kinds: tuple[type, ...] = (str,)
    words: str = "a text"
    does: str = ""
    least: float | None = None


def _text(attribute: str, default: str | None = None, does: str = "") -> Key:
    return Key(attribute=attribute, default=default, does=does)


def _flag(attribute: str, default: bool, does: str = "") -> Key:
    return Key(
        attribute=attribute, default=default, kinds=(bool,), words="True or False", does=does
    )


def _count(
    attribute: str, default: int | None, does: str = "", *, least: int = 0, words: str = ""
) -> Key:
    return Key(
        attribute=attribute, default=default, kinds=(int,), does=does, least=least,
        words=words or f"a whole number, at least {least}",
    )  # fmt: skip


def _seconds(attribute: str, default: float | None, does: str = "", least: float = 0) -> Key:
    return Key(
        attribute=attribute, default=default, kinds=_NUMBER, does=does, least=least,
        words="a number of seconds",
    )  # fmt: skip


def _mapping(attribute: str, default: Any = None, does: str = "") -> Key:
    return Key(
        attribute=attribute, default=default, kinds=(Mapping,), words="a dictionary", does=does
    )


#: By the name that a project writes.
KEYS: Final[dict[str, Key]] = {
    "name": _text("PREFIX", "default", "the queue of the tasks, unless cluster_name is given"),
    "cluster_name": _text("CLUSTER_NAME", None, "the queue of the tasks"),
    "ALT_CLUSTERS": _mapping("ALT_CLUSTERS", None, "other clusters, each with keys of its own"),
    "workers": _count("WORKERS", None, "processes of qcluster", least=1),
    "daemonize_workers": _flag("DAEMONIZE_WORKERS", True),
    "recycle": _count("RECYCLE", 500, "tasks after which qcluster replaces a process", least=1),
    "max_rss": _count("MAX_RSS", None, "kilobytes above which it replaces one", least=1),
    "timeout": _seconds("TIMEOUT", None, "longest run of a task that says nothing of it", least=-1),
    "retry": _seconds("RETRY", 60, "how long after its failure a task is tried again"),
    "ack_failures": _flag("ACK_FAILURES", False, "True: a task that has failed is not tried again"),
    "max_attempts": _count("MAX_ATTEMPTS", 0, "how often a task is tried; 0 is without end"),
    "compress": _flag("COMPRESSED", False, "whether signed packages are made smaller"),
    "save_limit": _count(
        "SAVE_LIMIT", 250, "how many successes are kept; 0 is all, -1 none", least=-1
    ),
    "save_limit_per": Key(
        attribute="SAVE_LIMIT_PER",
        kinds=(str,),
        words="'group', 'name', 'func' or None",
        does="what each has a save_limit of its own",
    ),
    "guard_cycle": _seconds("GUARD_CYCLE", 0.5),
    "scheduler": _flag("SCHEDULER", True, "False: no schedule runs"),
    "scheduler_interval": _count("SCHEDULER_INTERVAL", 30, least=1),
    "sync": _flag("SYNC", False, "True: tasks are run where they are called"),
    "queue_limit": _count("QUEUE_LIMIT", None),
    "label": _text("LABEL", "Django Q", "the name of the app in the admin"),
    "catch_up": _flag("CATCH_UP", True, "whether a schedule plays the times that it has missed"),
    "bulk": _count("BULK", 1),
    "poll": _seconds("POLL", 0.2),
    "cache": _text("CACHE", "default", "the alias of the cache for cached results"),
    "cached": Key(
        attribute="CACHED",
        default=False,
        kinds=(bool, int),
        words="True, False or seconds",
        does="whether results go to the cache, and for how many seconds",
        least=0,
    ),
    "cpu_affinity": _count("CPU_AFFINITY", 0),
    "error_reporter": _mapping("ERROR_REPORTER", None, "reporters of errors and their settings"),
    "log_level": _text("LOG_LEVEL", "INFO", "the least level of what qcluster logs"),
    "time_zone": _text("TIME_ZONE", None, "in which schedules keep their time of day"),
    "testing": _flag("TESTING", False),
    "orm": _text("ORM"),
    "has_replica": _flag("HAS_REPLICA", False),
    "redis": Key(
        attribute="REDIS", kinds=(Mapping, str), words="a dictionary or an address", default=None
    ),
    "django_redis": _text("DJANGO_REDIS"),
    "iron_mq": _mapping("IRON_MQ"),
    "sqs": _mapping("SQS"),
    "mongo": Key(attribute="MONGO", kinds=(Mapping, str), words="a dictionary or an address"),
    "mongo_db": _text("MONGO_DB"),
    "disque_nodes": Key(attribute="DISQUE_NODES", kinds=(list, tuple), words="a list"),
    "disque_auth": _text("DISQUE_AUTH"),
    "disque_fasttrack": _flag("DISQUE_FASTTRACK", False),
    "broker_class": _text(
        "BROKER_CLASS", None, "the path of a class of the project's own that takes the packages"
    ),
}

#: Where tasks were kept; they are in PostgreSQL now.
BROKERS: Final = (
    "redis", "django_redis", "iron_mq", "sqs", "mongo", "mongo_db", "disque_nodes", "disque_auth",
    "disque_fasttrack",
)  # fmt: skip
#: What may have a `save_limit` of its own.
SAVE_LIMITS: Final = ("group", "name", "func", None)
#: The key of each attribute.
ATTRIBUTES: Final = {key.attribute: name for name, key in KEYS.items()}
