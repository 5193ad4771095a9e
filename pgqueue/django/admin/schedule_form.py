"""The form of a schedule: everything it says, checked by what checks it everywhere."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pgqueue.api.default import default_app
from pgqueue.api.schedule_jobs import job_of
from pgqueue.api.specs import spec_of
from pgqueue.core import codec
from pgqueue.core.errors import ConfigurationError, PgQueueError
from pgqueue.core.options import EnqueueOptions, check_queue, check_task_name
from pgqueue.core.rules import parse_zone
from pgqueue.core.schedule import Recurrence, check_schedule_name
from pgqueue.db.statements.adding import JobSpec
from pgqueue.db.statements.ties import with_ties
from pgqueue.django.admin.discovery import known_tasks
from pgqueue.django.admin.offsets import OffsetField, offset_of
from pgqueue.django.models import Schedule

_KINDS: Final = (
    ("every", gettext_lazy("every (5m, 1 day, 3 months)")),
    ("cron", gettext_lazy("cron (0 9 * * 1-5)")),
    ("rrule", gettext_lazy("RFC 5545 (FREQ=MONTHLY;BYDAY=-1FR)")),
    ("at", gettext_lazy("once, at its start")),
)
#: What the words of a schedule mean.
CATCH_UPS: Final = {
    "once": gettext_lazy("one run for all of them"),
    "all": gettext_lazy("each of them runs"),
    "skip": gettext_lazy("none of them runs"),
}
OVERLAPS: Final = {
    "allow": gettext_lazy("the next one runs beside it"),
    "skip": gettext_lazy("the run is skipped"),
    "queue": gettext_lazy("the run waits for its end"),
}
#: The fields that every schedule has, and those that the rule is read from.
_FIRST: Final = frozenset(
    {"name", "task", "args", "kwargs", "kind", "rule", "timezone", "starts_at"}
)
_RULE: Final = frozenset(
    {"kind", "rule", "timezone", "starts_at", "ends_at", "repeats", "jitter", "catch_up"}
    | {"overlap", "sticky", "planned_kwarg"}
)
_TEXT: Final = {"class": "vTextField", "autocomplete": "off", "spellcheck": "false"}


class MomentField(forms.DateTimeField):
    """A time as browsers let one choose it, in the time zone of the admin."""

    widget = forms.DateTimeInput(
        format="%Y-%m-%dT%H:%M:%S", attrs={"type": "datetime-local", "step": "1"}
    )

    def clean(self, value: Any) -> Any:
        """Give an instant, where the project's own times have no zone (USE_TZ) too."""
        found = super().clean(value)
        naive = found is not None and timezone.is_naive(found)
        return timezone.make_aware(found, timezone.get_default_timezone()) if naive else found


class JsonField(forms.CharField):
    """JSON of one kind, with the tagged values that arguments may have."""

    def __init__(self, kind: type, **options: Any) -> None:
        self.kind = kind
        super().__init__(required=False, max_length=100_000, **options)

    def clean(self, value: Any) -> Any:
        """Read it."""
        text = super().clean(value).strip()
        if not text:
            return self.kind()
        try:
            found = codec.loads(text)
        except PgQueueError as error:
            raise forms.ValidationError(_("This is no JSON.")) from error
        if not isinstance(found, self.kind):
            raise forms.ValidationError(
                _("This must be a JSON array.")
                if self.kind is list
                else _("This must be a JSON object.")
            )
        return found


class ScheduleForm(forms.Form):
    """What a schedule says."""

    name = forms.CharField(
        label=gettext_lazy("Name"), required=False, widget=forms.TextInput(attrs=_TEXT),
        help_text=gettext_lazy("That of the task unless given."),
    )  # fmt: skip
    task = forms.CharField(
        label=gettext_lazy("Task"), widget=forms.TextInput(attrs={**_TEXT, "list": "pgq-tasks"})
    )
    args = JsonField(
        list, label=gettext_lazy("Arguments"), widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text=gettext_lazy("A JSON array: [42]."),
    )  # fmt: skip
    kwargs = JsonField(
        dict, label=gettext_lazy("Keyword arguments"),
        widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text=gettext_lazy('A JSON object: {"order": 42}.'),
    )  # fmt: skip
    kind = forms.ChoiceField(label=gettext_lazy("Kind of rule"), choices=_KINDS)
    rule = forms.CharField(
        label=gettext_lazy("Rule"), required=False, max_length=1000,
        widget=forms.TextInput(attrs=_TEXT),
    )  # fmt: skip
    timezone = forms.CharField(
        label=gettext_lazy("Time zone"), initial="UTC", max_length=100,
        widget=forms.TextInput(attrs={**_TEXT, "list": "pgq-zones"}),
        help_text=gettext_lazy("Whose clocks the rule means."),
    )  # fmt: skip
    starts_at = MomentField(
        label=gettext_lazy("Starts at"), required=False,
        help_text=gettext_lazy("The first run of an interval, and of what runs once."),
    )  # fmt: skip
    ends_at = MomentField(label=gettext_lazy("Ends at"), required=False)
    repeats = forms.IntegerField(
        label=gettext_lazy("Repeats"), required=False, min_value=1, max_value=2**31 - 1,
        help_text=gettext_lazy("Runs after which it ends."),
    )  # fmt: skip
    jitter = OffsetField(
        label=gettext_lazy("Jitter"), help_text=gettext_lazy("Runs are up to so much later.")
    )
    catch_up = forms.ChoiceField(
        label=gettext_lazy("Missed runs"), choices=list(CATCH_UPS.items()), initial="once",
        help_text=gettext_lazy("What becomes of runs for which no worker was there."),
    )  # fmt: skip
    overlap = forms.ChoiceField(
        label=gettext_lazy("While its last job lives"), choices=list(OVERLAPS.items()),
        initial="allow",
    )  # fmt: skip
    sticky = forms.BooleanField(
        label=gettext_lazy("Short months shorten those that follow"), required=False
    )
    planned_kwarg = forms.CharField(
        label=gettext_lazy("Argument for the planned instant"), required=False, max_length=100,
        widget=forms.TextInput(attrs=_TEXT),
    )  # fmt: skip
    queue = forms.CharField(
        label=gettext_lazy("Queue"), required=False,
        widget=forms.TextInput(attrs={**_TEXT, "list": "pgq-queues"}),
        help_text=gettext_lazy("That of the task unless given."),
    )  # fmt: skip
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"), required=False, min_value=-32768, max_value=32767
    )
    expires = OffsetField(
        label=gettext_lazy("Expires"),
        help_text=gettext_lazy("A job that has not started by then never does."),
    )
    timeout = OffsetField(label=gettext_lazy("Timeout"))
    max_attempts = forms.IntegerField(
        label=gettext_lazy("Max attempts"), required=False, min_value=1, max_value=32767
    )

    def __init__(self, *args: Any, kept: Schedule | None = None, **words: Any) -> None:
        super().__init__(*args, **words)
        self.kept = kept

    def clean_name(self) -> str | None:
        """Refuse what no schedule can be named."""
        name: str = self.cleaned_data["name"]
        return _checked(check_schedule_name, name) if name else None

    def clean_task(self) -> str:
        """Refuse what no task can be named."""
        task: str = _checked(lambda name: check_task_name(name, "task"), self.cleaned_data["task"])
        return task

    def clean_timezone(self) -> str:
        """Refuse what no time zone is named."""
        zone: str = _checked(lambda name: str(parse_zone(name)), self.cleaned_data["timezone"])
        return zone

    def clean_queue(self) -> str | None:
        """Refuse what no queue can be named."""
        queue: str = self.cleaned_data["queue"]
        return _checked(check_queue, queue) if queue else None

    def clean(self) -> dict[str, Any]:
        """Make of it what is to be saved: the rule, and the job, whose arguments must fit."""
        found: dict[str, Any] = super().clean() or {}
        self.recurrence: Recurrence | None = None
        # What it means is told as soon as the rule can be read, whatever else is missing.
        if not found.keys() >= _RULE:
            return found
        try:
            self.recurrence = Recurrence.from_kwargs(**rule_words(found))
        except ConfigurationError as error:
            self.add_error("rule", str(error))
            return found
        if self.errors:
            return found
        try:
            planned = self.recurrence.planned_kwarg
            self.job = self._kept(self._job(found, planned), planned)
        except PgQueueError as error:
            self.add_error("args", str(error))
        return found

    def save(self) -> str:
        """Make the schedule, or change the one of this name; gives its name.

        Raises:
            PgQueueError: the server refused it.
        """
        words = rule_words(self.cleaned_data)
        if self.cleaned_data["name"]:
            words["name"] = self.cleaned_data["name"]
        return default_app().schedule(self.job, **words).name

    def _job(self, found: Mapping[str, Any], planned_kwarg: str | None) -> JobSpec:
        """Make a job as the schedule will; a task that is known here has its arguments checked."""
        options = {
            name: found[name]
            for name in ("queue", "priority", "expires", "timeout", "max_attempts")
            if found[name] not in (None, "")
        }
        args, kwargs = tuple(found["args"]), dict(found["kwargs"])
        if found["task"] not in known_tasks():
            return spec_of(found["task"], args, kwargs, EnqueueOptions.from_kwargs(**options))
        task = known_tasks().get(found["task"]).using(**options)
        return job_of(task, args, kwargs, planned_kwarg, known_tasks())

    def _kept(self, job: JobSpec, planned_kwarg: str | None) -> JobSpec:
        """Give a job the keys, limits and callbacks of the schedule that is changed, where nothing
        was changed that they are made of, or nobody here knows of what."""
        old = self.kept
        if old is None or old.task != job.task:
            return job
        same = (old.args, old.kwargs, old.planned_kwarg) == (
            json.loads(job.args),
            json.loads(job.kwargs),
            planned_kwarg,
        )
        return with_ties(job, old.options or {}) if same or job.task not in known_tasks() else job

    def first_fields(self) -> list[Any]:
        """Give the fields that every schedule has."""
        return [self[name] for name in self.fields if name in _FIRST]

    def other_fields(self) -> list[Any]:
        """Give the fields that few need."""
        return [self[name] for name in self.fields if name not in _FIRST]

    def opens_others(self) -> bool:
        """Tell whether something is wrong in those."""
        return bool(set(self.errors) - _FIRST - {"__all__"})


def rule_words(found: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the form says of the rule as the words of `Recurrence`."""
    kind = found["kind"]
    words: dict[str, Any] = {
        "timezone": found["timezone"],
        "starts_at": found["starts_at"],
        "ends_at": found["ends_at"],
        "repeats": found["repeats"],
        "jitter": found["jitter"] or dt.timedelta(0),
        "catch_up": found["catch_up"],
        "overlap": found["overlap"],
        "sticky": bool(found["sticky"]),
        "planned_kwarg": found["planned_kwarg"] or None,
    }
    if kind == "at":
        return {**words, "at": found["starts_at"], "starts_at": None}
    return {**words, kind: found["rule"]}


def initial_of(schedule: Schedule) -> dict[str, Any]:
    """Give what the form of a schedule holds at first."""
    names = ("name", "task", "rule", "timezone", "ends_at", "repeats", "catch_up", "overlap")
    more = ("sticky", "planned_kwarg", "queue", "priority", "max_attempts", "starts_at")
    return {
        **{name: getattr(schedule, name) for name in (*names, *more)},
        **{name: offset_of(getattr(schedule, name)) for name in ("jitter", "expires", "timeout")},
        "kind": "at" if schedule.kind == "once" else schedule.kind,
        "args": _json(schedule.args),
        "kwargs": _json(schedule.kwargs),
    }


def _checked(check: Any, value: str) -> Any:
    try:
        return check(value)
    except ConfigurationError as error:
        raise forms.ValidationError(str(error)) from error


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
