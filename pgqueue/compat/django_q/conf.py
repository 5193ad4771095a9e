"""The setting Q_CLUSTER, read anew at each look: `override_settings` works.

`Conf` has the attributes that it always had. One that a test sets on the class stays until it is
taken back, as `monkeypatch.setattr` and `mock.patch.object` do.
"""

import logging
import os
import signal
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from pgqueue.compat.django_q.keys import ATTRIBUTES, KEYS

logger = logging.getLogger("django-q")

#: Names another cluster of the setting than its first.
NAME_VARIABLE: Final = "Q_CLUSTER_NAME"
#: The entry points of reporters of errors.
REPORTERS: Final = "djangoq.errorreporters"

_WORDS: Final[dict[str, Any]] = {
    "STARTING": _("Starting"),
    "WORKING": _("Working"),
    "IDLE": _("Idle"),
    "STOPPED": _("Stopped"),
    "STOPPING": _("Stopping"),
}


class ClusterNameError(ImproperlyConfigured, KeyError):
    """A cluster was named, and Q_CLUSTER has no others."""

    __str__ = Exception.__str__


def given(cluster: str | None = None) -> dict[str, Any]:
    """Give the setting as it is for a cluster.

    Args:
        cluster: its name; None for that of this process: the environment's Q_CLUSTER_NAME, else
            the first.

    Raises:
        ClusterNameError: the environment names another cluster, and there is no ALT_CLUSTERS.
    """
    found = getattr(settings, "Q_CLUSTER", None)
    own = dict(found) if isinstance(found, Mapping) else {}
    name = cluster or os.environ.get(NAME_VARIABLE)
    if not name or name in (own.get("name"), own.get("cluster_name")):
        return own
    if cluster is None and "ALT_CLUSTERS" not in own:
        raise ClusterNameError(
            f"{NAME_VARIABLE} is {name!r}, and Q_CLUSTER has no ALT_CLUSTERS; add "
            f'"ALT_CLUSTERS": {{{name!r}: {{}}}} to it'
        )
    others = own.pop("ALT_CLUSTERS", None)
    mine = others.get(name) if isinstance(others, Mapping) else None
    if isinstance(mine, Mapping):
        own |= {key: value for key, value in mine.items() if key not in ("name", "cluster_name")}
    own["cluster_name"] = name
    return own


class _Reading(type):
    """Read an attribute of `Conf` from the setting, unless it was set."""

    def __getattr__(cls, name: str) -> Any:
        if name not in _NAMES:
            raise AttributeError(f"Conf has no attribute {name!r}")
        return _value(name, given())

    def __dir__(cls) -> list[str]:
        return sorted({*_NAMES, *super().__dir__()})


class Conf(metaclass=_Reading):
    """The settings, an attribute each: `Conf.TIMEOUT` is `Q_CLUSTER["timeout"]`."""

    @staticmethod
    def at(cluster: str | None) -> "ClusterConf":
        """Give the settings of one cluster.

        Args:
            cluster: its name; None for that of this process.
        """
        return ClusterConf(cluster)


class ClusterConf:
    """The settings of one cluster, with the attributes of `Conf`.

    Args:
        cluster: its name; None for that of this process.
    """

    def __init__(self, cluster: str | None) -> None:
        self._given = given(cluster)

    def __getattr__(self, name: str) -> Any:
        if name not in _NAMES:
            raise AttributeError(f"Conf has no attribute {name!r}")
        if name in vars(Conf):
            return vars(Conf)[name]
        return _value(name, self._given)


class Reporter(Protocol):
    """What tells another service of errors."""

    def report(self) -> None:
        """Report the error that is being handled."""


class ErrorReporter:
    """All reporters that are set up.

    Args:
        reporters: them.
    """

    def __init__(self, reporters: Any) -> None:
        self.targets: list[Reporter] = list(reporters)

    def report(self) -> None:
        """Report the error that is being handled to each; one that fails is logged."""
        for target in self.targets:
            try:
                target.report()
            except Exception:
                logger.exception("reporter of errors %s failed", type(target).__name__)


_reporters: dict[str, ErrorReporter | None] = {}


def reporter() -> ErrorReporter | None:
    """Give the reporters of `Q_CLUSTER["error_reporter"]`; None where there are none.

    They are made once in a process, at the first error: they may start threads.
    """
    wanted = Conf.ERROR_REPORTER
    if not wanted:
        return None
    key = repr(wanted)
    if key not in _reporters:
        made = []
        for name, words in wanted.items():
            for entry in entry_points(group=REPORTERS, name=name):
                try:
                    made.append(entry.load()(**words))
                except Exception:
                    logger.exception("reporter of errors %s cannot be made", name)
        _reporters[key] = ErrorReporter(made)
    return _reporters[key]


def get_ppid() -> int:
    """Give the id of the parent process."""
    return os.getppid()


def __getattr__(name: str) -> Any:
    if name == "error_reporter":
        return reporter()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _value(name: str, own: Mapping[str, Any]) -> Any:
    """Give the worth of one attribute."""
    if name in _WORDS:
        return _WORDS[name]
    compute = _COMPUTE.get(name)
    if compute is not None:
        return compute(own)
    key = ATTRIBUTES[name]
    return own.get(key, KEYS[key].default)


def _secret_key(own: Mapping[str, Any]) -> str | None:
    try:
        return str(settings.SECRET_KEY)
    except ImproperlyConfigured:
        return None


def _workers(own: Mapping[str, Any]) -> int:
    found = own.get("workers")
    if found:
        return int(found)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 4


def _time_zone(own: Mapping[str, Any]) -> str | None:
    return own.get("time_zone", settings.TIME_ZONE) if settings.USE_TZ else None


def _signal_names(own: Mapping[str, Any]) -> dict[int, str]:
    return {one: one.name for one in signal.Signals}


_COMPUTE: Final[dict[str, Any]] = {
    "conf": dict,
    "CLUSTER_NAME": lambda own: own.get("cluster_name", own.get("name", "default")),
    "WORKERS": _workers,
    "QUEUE_LIMIT": lambda own: own.get("queue_limit", _workers(own) ** 2),
    "REDIS": lambda own: own.get("redis", {}),
    "ERROR_REPORTER": lambda own: own.get("error_reporter", {}),
    "TIME_ZONE": _time_zone,
    "SECRET_KEY": _secret_key,
    "Q_STAT": lambda own: f"django_q:{own.get('name', 'default')}:cluster",
    "QSIZE": lambda own: True,
    "SIGNAL_NAMES": _signal_names,
}
_NAMES: Final = frozenset({*ATTRIBUTES, *_COMPUTE, *_WORDS})
