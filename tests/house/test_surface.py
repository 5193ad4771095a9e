"""What is public is pinned: a change of these lists is a change of what users may rely on."""

import re
import tomllib

import pgqueue
from tests.helpers import ROOT

PUBLIC = """
    ArgumentGoneError BadArgumentsError BatchJob BoundTask Cancel ConfigurationError
    ConnectionLostError Context DecodeError DuplicateJobError FailedAttempt Flow GroupHandle Job
    JobFailedError JobHandle JobNotFoundError JobSpec JobState JobStateError JobTimeout
    LeaseLostError LogLine Node NotSerializableError PgQueue PgQueueError Progress QueueFullError
    QueueInfo Recurrence RefusedJobError ResultTimeoutError Retry RunInfo Schedule ScheduleInfo
    ScheduleNotFoundError SchemaError SchemaMissingError SchemaModifiedError SchemaOutdatedError
    SchemaTooNewError Snooze Task TaskAlreadyRegisteredError TaskNotFoundError WorkerInfo
    __version__ acopy_many aenqueue_many agroup aschedule chain copy_many cron default_app
    enqueue_many every group queues rrule schedule schedules set_default_app task
"""

METHODS = {
    "PgQueue": """
        acancel_matching cancel_matching
        aclose acopy_many aenqueue aenqueue_many aget_job agroup agroups ajobs aschedule check
        clients close copy_many dsn enqueue enqueue_flow enqueue_many get_group get_job group groups
        health job jobs prune schedule task workers
    """,
    "Task": "aenqueue amap as_callback enqueue job map using",
    "BoundTask": "aenqueue amap as_callback enqueue job map using",
    "Flow": "add aenqueue enqueue",
    "GroupHandle": """
        aadd_last acancel aclose add_last adelete aprogress aresults aretry await_ cancel close
        delete progress results retry wait
    """,
    "JobHandle": """
        acancel adelete aerrors ainfo alogs aresult aretry aset_priority aset_queue astate cancel
        delete errors info logs result retry set_priority set_queue state
    """,
    "Schedule": """
        adelete ahistory ainfo apause apreview aresume arun_now delete history info pause preview
        resume run_now
    """,
    "Context": """
        areschedule cancelled check_cancelled connection extend_timeout log planned_at progress
        remaining reschedule schedule shorten_timeout
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
        # What a class is put together of counts too.
        parts = [part for part in kind.__mro__ if part.__module__.startswith("pgqueue.api.")]
        found = {word for part in parts or [kind] for word in vars(part) if word[0] != "_"} - fields
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
