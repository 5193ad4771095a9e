"""The setting Q_CLUSTER: how it is read, and what the checks say of it."""

import logging
from importlib.metadata import EntryPoint
from typing import Any
from unittest import mock

import pytest

pytestmark = pytest.mark.usefixtures("market")


def cluster(**words: Any) -> Any:
    from django.test import override_settings

    return override_settings(Q_CLUSTER=words)


def messages(**words: Any) -> dict[str, str]:
    from pgqueue.compat.django_q.checks import check_settings

    with cluster(**words):
        return {found.id: found.msg for found in check_settings()}


def test_the_defaults_are_those_of_the_manual(market: Any) -> None:
    from pgqueue.compat.django_q.conf import Conf

    assert Conf.PREFIX == Conf.CLUSTER_NAME == "default"
    assert Conf.WORKERS >= 1
    assert Conf.QUEUE_LIMIT == Conf.WORKERS**2
    expected = {
        "DAEMONIZE_WORKERS": True, "RECYCLE": 500, "MAX_RSS": None, "TIMEOUT": None, "RETRY": 60,
        "ACK_FAILURES": False, "MAX_ATTEMPTS": 0, "COMPRESSED": False, "SAVE_LIMIT": 250,
        "SAVE_LIMIT_PER": None, "GUARD_CYCLE": 0.5, "SCHEDULER": True, "SYNC": False,
        "LABEL": "Django Q", "CATCH_UP": True, "BULK": 1, "POLL": 0.2, "CACHE": "default",
        "CACHED": False, "CPU_AFFINITY": 0, "ERROR_REPORTER": {}, "LOG_LEVEL": "INFO",
        "TIME_ZONE": "Europe/Vienna", "TESTING": False, "ORM": None, "REDIS": {},
        "BROKER_CLASS": None, "Q_STAT": "django_q:default:cluster", "SECRET_KEY": "only for tests",
    }  # fmt: skip
    assert {name: getattr(Conf, name) for name in expected} == expected
    assert expected.keys() < set(dir(Conf))
    with pytest.raises(AttributeError, match="Conf has no attribute 'TIMEOUTS'"):
        _ = Conf.TIMEOUTS


def test_the_setting_is_read_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.conf import Conf

    with cluster(name="shop", timeout=7, workers=3):
        assert (Conf.PREFIX, Conf.TIMEOUT, Conf.QUEUE_LIMIT) == ("shop", 7, 9)
        with override_settings(USE_TZ=False):
            assert Conf.TIME_ZONE is None
    assert Conf.TIMEOUT is None
    with monkeypatch.context() as patch:
        patch.setattr(Conf, "SYNC", True)
        assert Conf.SYNC
        assert Conf.at("other").SYNC
    assert not Conf.SYNC
    with mock.patch.object(Conf, "RETRY", 1):
        assert Conf.RETRY == 1
    with cluster(retry=5):
        assert Conf.RETRY == 5


def test_another_cluster_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    from pgqueue.compat.django_q.conf import ClusterNameError, Conf

    words = {
        "name": "myproject", "timeout": 60,
        "ALT_CLUSTERS": {"long": {"timeout": 3000, "name": "no", "cluster_name": "no"}},
    }  # fmt: skip
    with cluster(**words):
        assert Conf.at("long").TIMEOUT == 3000
        assert Conf.at("long").CLUSTER_NAME == "long"
        assert Conf.at("myproject").TIMEOUT == Conf.at(None).TIMEOUT == 60
        assert (Conf.at("unknown").TIMEOUT, Conf.at("unknown").CLUSTER_NAME) == (60, "unknown")
        monkeypatch.setenv("Q_CLUSTER_NAME", "long")
        assert (Conf.TIMEOUT, Conf.CLUSTER_NAME, Conf.PREFIX) == (3000, "long", "myproject")
        assert Conf.at("myproject").TIMEOUT == 60
    with cluster(name="myproject"), pytest.raises(KeyError, match="no ALT_CLUSTERS; add") as caught:
        _ = Conf.TIMEOUT
    assert isinstance(caught.value, ClusterNameError)
    with cluster(cluster_name="long", timeout=1):
        assert Conf.TIMEOUT == 1


def test_every_configuration_of_the_manual_passes_the_checks() -> None:
    first = {
        "name": "myproject", "workers": 8, "recycle": 500, "timeout": 60, "compress": True,
        "save_limit": 250, "queue_limit": 500, "cpu_affinity": 1, "label": "Django Q2",
        "redis": {"host": "127.0.0.1", "port": 6379, "db": 0},
        "ALT_CLUSTERS": {
            "long": {"timeout": 3000, "retry": 3600, "max_attempts": 2},
            "short": {"timeout": 10, "max_attempts": 1},
        },
    }  # fmt: skip
    assert messages(**first) == {
        "django_q.I001": 'Q_CLUSTER["redis"] has no meaning here: tasks are in PostgreSQL'
    }
    orm = {
        "name": "DjangORM", "workers": 4, "timeout": 90, "retry": 120, "queue_limit": 50,
        "bulk": 10, "orm": "default",
    }  # fmt: skip
    assert messages(**orm) == {}
    assert (
        messages(scheduler_interval=1, guard_cycle=1, poll=0.2, cached=60, log_level="info") == {}
    )
    assert messages() == {}


WRONG: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"retries": 3}, ("E002", "Q_CLUSTER has no key 'retries'; did you mean 'retry'?")),
    (
        {"timeout": "60"},
        ("E003", """Q_CLUSTER["timeout"] must be a number of seconds; got '60'"""),
    ),
    (
        {"workers": 0},
        ("E003", 'Q_CLUSTER["workers"] must be a whole number, at least 1; got 0'),
    ),
    (
        {"bulk": True},
        ("E003", "must be a whole number, at least 0; got True"),
    ),
    ({"log_level": "loud"}, ("E004", "must be one of")),
    ({"time_zone": "Mars/Base"}, ("E005", "must be the name of a time zone")),
    ({"cache": "fast"}, ("E006", "must be an alias of CACHES")),
    ({"name": "*"}, ("E007", "is the name of a queue")),
    ({"ALT_CLUSTERS": {"long": 3}}, ("E008", "must be a dictionary; got 3")),
    (
        {"ALT_CLUSTERS": {"long": {"timeout": "1"}}},
        ("E003", 'Q_CLUSTER["ALT_CLUSTERS"]["long"]["timeout"] must be'),
    ),
    (
        {"save_limit_per": "groups"},
        (
            "W001",
            "must be 'group', 'name', 'func' or None; got 'groups'; did you mean 'group'?",
        ),
    ),
    ({"error_reporter": {"nobody": {}}}, ("W002", "reports errors to 'nobody'")),
    ({"orm": "second"}, ("W004", """Q_CLUSTER["orm"] is 'second', and tasks are in""")),
]


def test_the_checks_say_what_is_wrong() -> None:
    for words, (name, text) in WRONG:
        found = messages(**words)
        assert list(found) == [f"django_q.{name}"], words
        assert text in found[f"django_q.{name}"]


def test_the_checks_know_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.checks import check_settings

    monkeypatch.setenv("Q_CLUSTER_NAME", "lang")
    assert list(messages()) == ["django_q.E009"]
    assert list(messages(ALT_CLUSTERS={"long": {}})) == ["django_q.W003"]
    monkeypatch.delenv("Q_CLUSTER_NAME")
    with override_settings(Q_CLUSTER=[1]):
        assert [found.id for found in check_settings()] == ["django_q.E001"]


class Sent:
    """A reporter of errors."""

    made: list[dict[str, Any]] = []  # noqa: RUF012
    reports = 0

    def __init__(self, **words: Any) -> None:
        self.made.append(words)

    def report(self) -> None:
        """Count."""
        type(self).reports += 1
        raise RuntimeError("the service is away")


def test_reporters_of_errors_are_made_once_and_may_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pgqueue.compat.django_q import conf

    def points(*, group: str, name: str = "") -> list[EntryPoint]:
        assert group == "djangoq.errorreporters"
        return [EntryPoint("sent", f"{__name__}:Sent", group)] if name in ("", "sent") else []

    monkeypatch.setattr(conf, "entry_points", points)
    monkeypatch.setattr(conf, "_reporters", {})
    assert conf.error_reporter is None
    words: Any = {"sent": {"token": "secret"}, "nobody": {}}
    with cluster(error_reporter=words), caplog.at_level(logging.ERROR, "django-q"):
        conf.error_reporter.report()
        conf.error_reporter.report()
    assert Sent.made == [{"token": "secret"}]
    assert Sent.reports == 2
    assert "reporter of errors Sent failed" in caplog.text
    assert "secret" not in caplog.text


def test_the_label_of_the_app() -> None:
    from django.apps import apps

    config = apps.get_app_config("django_q")
    assert config.verbose_name == "Django Q"
    with cluster(label="Tasks"):
        assert config.verbose_name == "Tasks"
