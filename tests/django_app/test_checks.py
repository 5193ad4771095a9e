"""System checks: each has its id and says what to do."""

from typing import Any

import pytest

from tests.fixtures.databases import Database


def found(databases: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    from django.core.checks import run_checks
    from django.test import override_settings

    with override_settings(**settings):
        messages = run_checks(databases=databases)
    return {message.id: message for message in messages if message.id.startswith("pgqueue")}


@pytest.mark.parametrize(
    ("setting", "number", "words"),
    [
        ("default", "E001", "must be a dictionary; got str"),
        ({"DATABSE": "default"}, "E002", "no key 'DATABSE'; did you mean 'DATABASE'"),
        ({"AUTODISCOVER": None}, "E003", '"AUTODISCOVER"] must be the name of a module'),
        ({"MISSING_OBJECTS": "explode"}, "E003", "one of fail, cancel, none; got 'explode'"),
        ({"QUEUES": ["mail"]}, "E003", "must be a dictionary of settings by queue"),
        ({"QUEUES": {"*": {}}}, "E004", "'*' stands for every queue"),
        ({"QUEUES": {"mail": 3}}, "E004", "must be a dictionary; got 3"),
        ({"QUEUES": {"mail": {"retentoin": "3d"}}}, "E004", "did you mean 'retention'"),
        ({"QUEUES": {"mail": {"retention": "soon"}}}, "E004", "retention must be"),
        ({"QUEUES": {"mail": {"rate": "often"}}}, "E004", "rate must be"),
        ({"QUEUES": {"mail": {"max_running": -1}}}, "E004", "max_running must be"),
        ({"QUEUES": {"mail": {"max_pending": "9"}}}, "E004", "max_pending must be"),
        (
            {"QUEUES": {"mail": {"retention": "3d", "retention_other": "3d"}}},
            "E004",
            "retention",
        ),
        ({"ALLOW": "math.*"}, "E003", "must be a list of paths such as math.*"),
        ({"ALLOW": [3]}, "E003", "must be a list of paths such as math.*"),
        ({"REDACT": [None]}, "E003", "must be a list of parts of names"),
        ({"PICKLE": "no"}, "E003", "must be True or False; got 'no'"),
        ({"DATABASE": "defalt"}, "E005", "did you mean 'default'"),
        ({"DATABASE": "lite"}, "E006", "its engine is for sqlite"),
        ({"DATABASE": "other"}, "W002", "no router says so"),
    ],
)
def test_settings(setting: Any, number: str, words: str, project: Database) -> None:
    messages = found(PGQUEUE=setting)
    assert list(messages) == [f"pgqueue.{number}"]
    (message,) = messages.values()
    assert words in message.msg
    assert message.hint


def test_nothing_to_say(project: Database) -> None:
    good = {"QUEUES": {"mail": {"retention": "3d"}}, "DATABASE": "default", "AUTODISCOVER": ""}
    assert found(("default", "other"), PGQUEUE=good) == {}
    assert (
        found((), PGQUEUE={"DATABASE": "other"}, DATABASE_ROUTERS=["pgqueue.django.Router"]) == {}
    )


def test_the_schema(bare_project: Database) -> None:
    from django.core.management import call_command

    # Not installed yet: Django itself says what is to be migrated.
    assert found(("default",)) == {}
    call_command("migrate", verbosity=0)
    assert found(("default",)) == {}
    bare_project.execute("UPDATE pgqueue.schema_versions SET sha256 = 'another'")
    messages = found(("default",))
    assert list(messages) == ["pgqueue.W001"]
    assert "was not made from the files" in messages["pgqueue.W001"].msg
    # An upgrade would be refused.
    assert messages["pgqueue.W001"].hint is None
    assert found(()) == {}
    bare_project.execute("DROP SCHEMA pgqueue CASCADE")
    (message,) = found(("default",)).values()
    assert "not in this database" in message.msg
    assert "manage.py pgqueue schema upgrade" in message.hint


def test_a_database_that_does_not_answer(
    project: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connections

    connections["other"].close()
    monkeypatch.setitem(connections["other"].settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connections["other"].settings_dict, "PORT", "1")
    assert (
        found(("other",), PGQUEUE={"DATABASE": "other"}, DATABASE_ROUTERS=["pgqueue.django.Router"])
        == {}
    )
