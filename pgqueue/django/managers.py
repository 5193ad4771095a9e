"""Ways to ask for jobs."""

from typing import Any

from django.db.models import Case, F, Model, TextField, Value, When
from django.db.models.functions import Coalesce

from pgqueue.core.errors import ConfigurationError, shown, suggest
from pgqueue.core.states import FINAL, WAITING, JobState
from pgqueue.django import references
from pgqueue.django.models.base import QueueManager, QueueQuerySet

#: What the positions know about a job, and in which of them to look.
_PLACES: dict[str, tuple[str, ...]] = {
    "attempt": ("finished", "running", "ready", "scheduled", "blocked"),
    "lost": ("finished", "running", "ready", "scheduled", "blocked"),
    "crashes": ("finished", "running", "ready", "scheduled", "blocked"),
    "started_at": ("finished", "running"),
    "finished_at": ("finished",),
    "error": ("finished",),
    "reason": ("scheduled", "blocked"),
}


class JobQuerySet(QueueQuerySet):
    """Jobs."""

    def with_state(self) -> Any:
        """Add to each job its `state`, and what its position knows.

        Adds `state`, `attempt`, `lost`, `crashes`, `started_at`, `finished_at`, `worker_id`,
        `error`, `reason`, and `due_at`, when it may start; without another query.
        """
        state = Case(
            When(finished__job_id__isnull=False, then=F("finished__state")),
            When(running__job_id__isnull=False, then=Value("running")),
            When(ready__job_id__isnull=False, then=Value("ready")),
            When(scheduled__job_id__isnull=False, then=Value("scheduled")),
            # One that came in past the trigger has no position yet, and waits, not for time.
            default=Value("blocked"),
            output_field=TextField(),
        )
        found = {
            name: _first(*(f"{place}__{name}" for place in places))
            for name, places in _PLACES.items()
        }
        return self.annotate(
            state=state,
            worker_id=_first("finished__worker_id", "running__worker_id"),
            due_at=_first("scheduled__run_at", "run_at"),
            **found,
        )

    def in_state(self, *states: JobState | str) -> Any:
        """Keep those that stand in one of these states.

        Raises:
            ConfigurationError: there is no such state.
        """
        wanted: Any = None
        for state in states:
            if state not in list(JobState):
                raise ConfigurationError(
                    f"state must be one of {', '.join(JobState)}; "
                    f"got {shown(state)}{suggest(str(state), JobState)}"
                )
        final = [str(state) for state in states if state in FINAL]
        for state in states:
            if state not in FINAL:
                found = self.filter(**{f"{state}__isnull": False})
                wanted = found if wanted is None else wanted | found
        if final:
            found = self.filter(finished__state__in=final)
            wanted = found if wanted is None else wanted | found
        return self.none() if wanted is None else wanted

    def waiting(self) -> Any:
        """Keep those that wait: blocked, scheduled or ready."""
        return self.in_state(*sorted(WAITING))

    def blocked(self) -> Any:
        """Keep those that wait for something other than time."""
        return self.in_state(JobState.BLOCKED)

    def scheduled(self) -> Any:
        """Keep those that run later."""
        return self.in_state(JobState.SCHEDULED)

    def ready(self) -> Any:
        """Keep those that may run now."""
        return self.in_state(JobState.READY)

    def running(self) -> Any:
        """Keep those that a worker holds."""
        return self.in_state(JobState.RUNNING)

    def finished(self) -> Any:
        """Keep those that are over."""
        return self.filter(finished__isnull=False)

    def succeeded(self) -> Any:
        """Keep those that have succeeded."""
        return self.in_state(JobState.SUCCEEDED)

    def failed(self) -> Any:
        """Keep those that have failed."""
        return self.in_state(JobState.FAILED)

    def cancelled(self) -> Any:
        """Keep those that were cancelled."""
        return self.in_state(JobState.CANCELLED)

    def expired(self) -> Any:
        """Keep those that were not started in time."""
        return self.in_state(JobState.EXPIRED)

    def for_object(self, instance: Model) -> Any:
        """Keep those that have this row among their arguments, by an index.

        Raises:
            NotSerializableError: it was never saved.
        """
        return self.filter(
            meta__has_key=references.KEY,
            **{f"meta__{references.KEY}__contains": [references.name_of(instance)]},
        )


def _first(*names: str) -> Any:
    return Coalesce(*names) if len(names) > 1 else F(names[0])


class JobManager(QueueManager.from_queryset(JobQuerySet)):  # type: ignore[misc]
    """Jobs; see `JobQuerySet`."""
