"""What people do with jobs: each act once, for the list and for the page of one job."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from pgqueue.core.errors import ConfigurationError, PgQueueError
from pgqueue.core.options import check_queue
from pgqueue.core.states import FINAL, JobState
from pgqueue.db.statements import many
from pgqueue.db.statements.base import Statement
from pgqueue.django import conf
from pgqueue.django.admin.base import ask

#: At most so many jobs at once, in transactions of so many.
MOST: Final = 10_000
_BATCH: Final = 500
#: What is said of a job that the queue refused to touch.
REFUSED: Final = "refused"


class ReasonForm(forms.Form):
    """Why jobs are cancelled."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=500,
        help_text=_("Shown with the job."),
        widget=forms.TextInput(attrs={"size": 60, "class": "vTextField"}),
    )


class PriorityForm(forms.Form):
    """The priority that jobs get."""

    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=-32768,
        max_value=32767,
        initial=0,
        help_text=_(
            "Higher first, -32768 to 32767. Jobs that run or are over are left as they are."
        ),
    )


class QueueForm(forms.Form):
    """The queue that jobs go to."""

    queue = forms.CharField(
        label=_("Queue"),
        help_text=_("Jobs that are over stay so, and are retried there. Running ones are left."),
        widget=forms.TextInput(attrs={"list": "pgq-queues", "autocomplete": "off"}),
    )

    def clean_queue(self) -> str:
        """Refuse what no queue can be named."""
        try:
            return check_queue(self.cleaned_data["queue"])
        except ConfigurationError as error:
            raise forms.ValidationError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Hold one thing that can be done with jobs.

    Attributes:
        name: in addresses and forms.
        permission: what one must be allowed.
        label: on the button of one job.
        several: in the menu over a list.
        states: of the jobs that it is offered for.
        statement: makes the call for some jobs, with what the form gave.
        changed: what it says of a job that was changed: the outcome, and a sentence with `count`.
        form: what it asks for, if anything.
        question: asked before it is done; None does it at once.
        danger: whether it cannot be taken back.
    """

    name: str
    permission: str
    label: str | Promise
    several: str | Promise
    states: frozenset[str]
    statement: Callable[[Sequence[int], Mapping[str, Any]], Statement[dict[int, str]]]
    changed: Mapping[str, Any]
    form: type[forms.Form] | None = None
    question: str | Promise | None = None
    danger: bool = False

    def perform(self, ids: Iterable[int], values: Mapping[str, Any]) -> dict[int, str]:
        """Do it; gives the outcome of each job. What one of them refuses does not stop others."""
        outcomes: dict[int, str] = {}
        todo = sorted(set(ids))
        for start in range(0, len(todo), _BATCH):
            outcomes |= self._batch(todo[start : start + _BATCH], values)
        return outcomes

    def _batch(self, ids: Sequence[int], values: Mapping[str, Any]) -> dict[int, str]:
        try:
            with transaction.atomic(using=conf.database()):
                return ask(self.statement(ids, values))
        except PgQueueError:
            if len(ids) == 1:
                return {ids[0]: REFUSED}
        outcomes: dict[int, str] = {}
        for one in ids:
            outcomes |= self._batch([one], values)
        return outcomes

    def sentences(self, outcomes: Mapping[int, str]) -> list[tuple[str, bool]]:
        """Say what came of it; with each sentence, whether it went well."""
        said = []
        found = list(outcomes.values())
        for outcome, sentence in self.changed.items():
            count = found.count(outcome)
            if count:
                said.append((str(sentence % {"count": count}), True))
        left = sum(outcome not in self.changed for outcome in found)
        if left:
            said.append((str(_LEFT % {"count": left}), False))
        return said


_LEFT: Final = ngettext_lazy(
    "%(count)d job was left as it is: its state does not allow it, or it is gone.",
    "%(count)d jobs were left as they are: their states do not allow it, or they are gone.",
    "count",
)
_READY: Final = ngettext_lazy("%(count)d job is ready.", "%(count)d jobs are ready.", "count")
_LINE: Final = ngettext_lazy(
    "%(count)d job waits in the line of its key.",
    "%(count)d jobs wait in the lines of their keys.",
    "count",
)
_PRIORITY: Final = ngettext_lazy(
    "%(count)d job has another priority.", "%(count)d jobs have another priority.", "count"
)
_QUEUE: Final = ngettext_lazy(
    "%(count)d job has another queue.", "%(count)d jobs have another queue.", "count"
)
_OVER: Final = frozenset(str(state) for state in FINAL)
_WAITING: Final = frozenset({"blocked", "scheduled", "ready"})

#: All there are, in the order of the menu.
ACTS: Final[tuple[Act, ...]] = (
    Act(
        name="retry",
        permission="retry_job",
        label=_("Retry"),
        several=_("Retry selected jobs that are over"),
        states=_OVER,
        statement=lambda ids, values: many.retry(ids),
        changed={"ready": _READY, "blocked": _LINE},
    ),
    Act(
        name="run",
        permission="run_job",
        label=_("Run now"),
        several=_("Run selected scheduled jobs now"),
        states=frozenset({"scheduled"}),
        statement=lambda ids, values: many.run_now(ids),
        changed={"ready": _READY, "blocked": _LINE},
    ),
    Act(
        name="cancel",
        permission="cancel_job",
        label=_("Cancel"),
        several=_("Cancel selected jobs"),
        states=_WAITING | {"running"},
        statement=lambda ids, values: many.cancel(ids, values.get("reason") or None),
        changed={
            "cancelled": ngettext_lazy(
                "%(count)d job is cancelled.", "%(count)d jobs are cancelled.", "count"
            ),
            "running": ngettext_lazy(
                "The worker of %(count)d running job was asked to stop it.",
                "The workers of %(count)d running jobs were asked to stop them.",
                "count",
            ),
        },
        form=ReasonForm,
        question=_("Waiting jobs are cancelled at once, running ones are asked to stop."),
    ),
    Act(
        name="prioritize",
        permission="prioritize_job",
        label=_("Change priority"),
        several=_("Change the priority of selected jobs"),
        states=_WAITING,
        statement=lambda ids, values: many.set_priority(ids, int(values["priority"])),
        changed=dict.fromkeys(sorted(_WAITING), _PRIORITY),
        form=PriorityForm,
        question=_("Give the jobs another priority."),
    ),
    Act(
        name="move",
        permission="move_job",
        label=_("Change queue"),
        several=_("Move selected jobs to another queue"),
        states=_WAITING | _OVER,
        statement=lambda ids, values: many.set_queue(ids, str(values["queue"])),
        changed=dict.fromkeys(sorted(_WAITING | _OVER), _QUEUE),
        form=QueueForm,
        question=_("Move the jobs to another queue."),
    ),
    Act(
        name="delete_selected",
        permission="delete_job",
        label=_("Delete"),
        several=_("Delete selected jobs"),
        states=frozenset(JobState) - {"running"},
        statement=lambda ids, values: many.delete(ids),
        changed={
            "deleted": ngettext_lazy(
                "%(count)d job was deleted.", "%(count)d jobs were deleted.", "count"
            )
        },
        question=_(
            "The jobs are deleted with their arguments, results and errors. Waiting ones will "
            "never run. Running ones are left; cancel them first."
        ),
        danger=True,
    ),
)
BY_NAME: Final = {act.name: act for act in ACTS}
