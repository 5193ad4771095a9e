"""A PostgreSQL-native job queue: background jobs with nothing but the PostgreSQL you have.

    from pgqueue import task

    @task
    def send_receipt(order_id: int) -> None: ...

    send_receipt.enqueue(42)                                   # now
    send_receipt.using(connection=connection).enqueue(42)      # exactly if your transaction commits

What stands in ``__all__`` is what there is; everything else may change.
"""

# Tasks and the app.
from pgqueue.api.app import PgQueue
from pgqueue.api.default import (
    acopy_many,
    aenqueue_many,
    agroup,
    aschedule,
    chain,
    copy_many,
    default_app,
    enqueue_many,
    group,
    queues,
    schedule,
    schedules,
    set_default_app,
    task,
)
from pgqueue.api.flows import Flow, Node
from pgqueue.api.groups import GroupHandle
from pgqueue.api.handles import JobHandle
from pgqueue.api.schedules import Schedule
from pgqueue.api.task import BoundTask, Task

# What a running task gets.
from pgqueue.core.batch import BatchJob
from pgqueue.core.context import Context

# What went wrong.
from pgqueue.core.errors import (
    ArgumentGoneError,
    BadArgumentsError,
    ConfigurationError,
    ConnectionLostError,
    DecodeError,
    DuplicateJobError,
    JobFailedError,
    JobNotFoundError,
    JobStateError,
    JobTimeout,
    LeaseLostError,
    NotSerializableError,
    PgQueueError,
    QueueFullError,
    RefusedJobError,
    ResultTimeoutError,
    ScheduleNotFoundError,
    SchemaError,
    SchemaMissingError,
    SchemaModifiedError,
    SchemaOutdatedError,
    SchemaTooNewError,
    TaskAlreadyRegisteredError,
    TaskNotFoundError,
)

# What is read back.
from pgqueue.core.group import Progress
from pgqueue.core.job import (
    FailedAttempt,
    Job,
    LogLine,
    QueueInfo,
    RunInfo,
    ScheduleInfo,
    WorkerInfo,
)

# What a task may raise to decide how its attempt ends.
from pgqueue.core.outcome import Cancel, Retry, Snooze
from pgqueue.core.schedule import Recurrence, cron, every, rrule
from pgqueue.core.states import JobState
from pgqueue.db.statements.adding import JobSpec

__version__ = "0.1.0"

__all__ = [
    # Tasks and the app.
    "BoundTask",
    "Flow",
    "GroupHandle",
    "JobHandle",
    "JobSpec",
    "Node",
    "PgQueue",
    "Task",
    "acopy_many",
    "aenqueue_many",
    "agroup",
    "chain",
    "copy_many",
    "default_app",
    "enqueue_many",
    "group",
    "queues",
    "set_default_app",
    "task",
    # What recurs.
    "Recurrence",
    "Schedule",
    "aschedule",
    "cron",
    "every",
    "rrule",
    "schedule",
    "schedules",
    # What a running task gets, and may raise to decide how its attempt ends.
    "BatchJob",
    "Context",
    "Cancel",
    "JobTimeout",
    "Retry",
    "Snooze",
    # What is read back.
    "FailedAttempt",
    "Job",
    "JobState",
    "LogLine",
    "Progress",
    "QueueInfo",
    "RunInfo",
    "ScheduleInfo",
    "WorkerInfo",
    # What went wrong.
    "ArgumentGoneError",
    "BadArgumentsError",
    "ConfigurationError",
    "ConnectionLostError",
    "DecodeError",
    "JobFailedError",
    "DuplicateJobError",
    "JobNotFoundError",
    "JobStateError",
    "LeaseLostError",
    "NotSerializableError",
    "PgQueueError",
    "QueueFullError",
    "RefusedJobError",
    "ResultTimeoutError",
    "ScheduleNotFoundError",
    "SchemaError",
    "SchemaMissingError",
    "SchemaModifiedError",
    "SchemaOutdatedError",
    "SchemaTooNewError",
    "TaskAlreadyRegisteredError",
    "TaskNotFoundError",
    "__version__",
]
