"""Models over the tables and views of the schema, one to one; they read, the functions write.

The tables are made by the versioned SQL, so no model is managed by Django's migrations. A test
holds them against the catalog.
"""

from pgqueue.django.models.flows import JobDependency, JobWait, Waiter
from pgqueue.django.models.groups import Group, GroupOverview
from pgqueue.django.models.jobs import Job, JobError, JobLog, JobProgress
from pgqueue.django.models.limits import KeyLimit, RateTake, Slot, Turn, UniqueKey
from pgqueue.django.models.overviews import JobOverview, QueueStats, WorkerOverview
from pgqueue.django.models.pages import Dashboard, Failure
from pgqueue.django.models.positions import (
    BlockedJob,
    CancelRequest,
    FinishedJob,
    ReadyJob,
    RunningJob,
    ScheduledJob,
)
from pgqueue.django.models.queues import Queue, Worker
from pgqueue.django.models.schedules import Schedule, ScheduleOverview, ScheduleRun

__all__ = [
    "BlockedJob",
    "CancelRequest",
    "Dashboard",
    "Failure",
    "FinishedJob",
    "Group",
    "GroupOverview",
    "Job",
    "JobDependency",
    "JobError",
    "JobLog",
    "JobOverview",
    "JobProgress",
    "JobWait",
    "KeyLimit",
    "Queue",
    "QueueStats",
    "RateTake",
    "ReadyJob",
    "RunningJob",
    "Schedule",
    "ScheduleOverview",
    "ScheduleRun",
    "ScheduledJob",
    "Slot",
    "Turn",
    "UniqueKey",
    "Waiter",
    "Worker",
    "WorkerOverview",
]
