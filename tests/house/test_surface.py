"""What is public is pinned: a change of these lists is a change of what users may rely on."""

import re
import tomllib

import pgqueue
from tests.helpers import ROOT

PUBLIC = """
    ArgumentGoneError BadArgumentsError BoundTask Cancel ConfigurationError ConnectionLostError
    Context DecodeError FailedAttempt Job JobHandle JobNotFoundError JobSpec JobState JobStateError
    JobTimeout LeaseLostError NotSerializableError PgQueue PgQueueError QueueInfo Recurrence
    RefusedJobError Retry RunInfo Schedule ScheduleInfo ScheduleNotFoundError SchemaError
    SchemaMissingError SchemaModifiedError SchemaOutdatedError SchemaTooNewError Snooze Task
    TaskAlreadyRegisteredError TaskNotFoundError WorkerInfo __version__ acopy_many aenqueue_many
    aschedule copy_many cron default_app enqueue_many every queues rrule schedule schedules
    set_default_app task
"""

METHODS = {
    "PgQueue": """
        aclose acopy_many aenqueue aenqueue_many aget_job ajobs check clients close copy_many dsn
        enqueue enqueue_many get_job health job jobs prune task workers
    """,
    "Task": "aenqueue enqueue job using",
    "BoundTask": "aenqueue enqueue job using",
    "JobHandle": """
        acancel adelete aerrors ainfo aretry aset_priority aset_queue astate cancel delete errors
        info retry set_priority set_queue state
    """,
    "Schedule": """
        adelete ahistory ainfo apause apreview aresume arun_now delete history info pause preview
        resume run_now
    """,
    "Context": """
        areschedule cancelled check_cancelled connection planned_at remaining reschedule schedule
    """,
}

EXTRAS = {"binary", "django", "django-tasks", "embedded", "demo", "test", "lint"}


def test_public_names() -> None:
    assert sorted(pgqueue.__all__) == sorted(PUBLIC.split())
    assert len(set(pgqueue.__all__)) == len(pgqueue.__all__)
    assert all(hasattr(pgqueue, name) for name in pgqueue.__all__)


def test_public_methods() -> None:
    for name, words in METHODS.items():
        kind = getattr(pgqueue, name)
        fields = set(getattr(kind, "__dataclass_fields__", ()))
        found = {word for word in vars(kind) if not word.startswith("_")} - fields
        assert found == set(words.split()), name


def test_public_names_are_described() -> None:
    for name in set(pgqueue.__all__) - {"__version__", "queues", "schedules"}:
        assert getattr(pgqueue, name).__doc__, name


def test_errors_say_that_they_are_of_pgqueue() -> None:
    for name in pgqueue.__all__:
        found = getattr(pgqueue, name)
        if isinstance(found, type) and issubclass(found, Exception):
            assert found.__module__ == "pgqueue", name


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+(?:\.dev[0-9]+)?", pgqueue.__version__)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dynamic"] == ["version"]
    assert set(project["optional-dependencies"]) == EXTRAS
    assert project["requires-python"] == ">=3.11"
