"""The states of a job: eight words, the same in SQL, Python, the command line and the docs."""

from enum import StrEnum


class JobState(StrEnum):
    """Name where a job stands."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


#: States a job does not leave by itself.
FINAL: frozenset[JobState] = frozenset(
    {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
)

#: States in which a job waits to be run.
WAITING: frozenset[JobState] = frozenset({JobState.BLOCKED, JobState.SCHEDULED, JobState.READY})
