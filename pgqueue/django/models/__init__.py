"""Models over the tables and views of the schema, one to one; they read, the functions write.

The tables are made by the versioned SQL, so no model is managed by Django's migrations. A test
holds them against the catalog.
"""

from pgqueue.django.models.jobs import Job, JobError, JobProgress
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
    "Job",
    "JobError",
    "JobOverview",
    "JobProgress",
    "Queue",
    "QueueStats",
    "ReadyJob",
    "RunningJob",
    "Schedule",
    "ScheduleOverview",
    "ScheduleRun",
    "ScheduledJob",
    "Worker",
    "WorkerOverview",
]
