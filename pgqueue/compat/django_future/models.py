"""The model of django-future, over a view of the queue: jobs in its words, saved and deleted."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pgqueue.compat import coroutines, serving
from pgqueue.compat.django_future import conf, running
from pgqueue.compat.django_future.fields import (
    ArgumentsField,
    ObjectIdField,
    Sealed,
    task_of,
)
from pgqueue.compat.django_future.utils import parse_timedelta, to_moment, to_time
from pgqueue.compat.locking import LockingQuerySet
from pgqueue.django import conf as queue

__all__ = ["ScheduledJob", "schedule_job"]

#: The latest time that the old library knew.
END_OF_TIME: Final = dt.datetime(2047, 9, 14)

_TIMES: Final = ("time_slot_start", "time_slot_end", "execution_start")
_ARGUMENTS: Final = ("args", "kwargs")


class ScheduledJobManager(models.Manager):
    """Jobs, from the database that holds the queue."""

    def get_queryset(self) -> Any:
        """Give all of them."""
        return self._queryset_class(
            model=self.model, using=self._db or queue.database(), hints=self._hints
        )


class ScheduledJob(models.Model):
    """A job: what it calls, when, and what became of it."""

    STATUSES = (
        ("scheduled", _("Scheduled")),
        ("running", _("Running")),
        ("failed", _("Failed")),
        ("complete", _("Complete")),
        ("expired", _("Expired")),
    )

    id = models.BigAutoField(primary_key=True)
    time_slot_start = models.DateTimeField(_("time slot start"))
    time_slot_end = models.DateTimeField(_("time slot end"))
    execution_start = models.DateTimeField(_("execution start"), blank=True, null=True)
    status = models.CharField(_("status"), choices=STATUSES, max_length=32, default="scheduled")
    content_type = models.ForeignKey(
        ContentType,
        models.DO_NOTHING,
        blank=True,
        null=True,
        db_constraint=False,
        db_index=False,
        verbose_name=_("content type"),
    )
    object_id = ObjectIdField(_("object ID"), blank=True, null=True)
    content_object = GenericForeignKey("content_type", "object_id")
    callable_name = models.CharField(
        _("callable name"),
        max_length=255,
        help_text=_(
            "The path of a function, such as shop.tasks.send; or, without a dot, the name of a "
            "method of the content object."
        ),
    )
    args = ArgumentsField(_("args"), default=list, blank=True, editable=False)
    kwargs = ArgumentsField(_("kwargs"), default=dict, blank=True, editable=False)
    error = models.TextField(_("error"), blank=True, null=True)
    return_value = models.TextField(_("return value"), blank=True, null=True)

    objects = ScheduledJobManager.from_queryset(LockingQuerySet)()

    #: What was read or written last, by name of the field.
    _held: dict[str, Any] | None = None

    class Meta:
        managed = False
        db_table = '"pgqueue"."django_future_jobs"'
        verbose_name = _("scheduled job")
        verbose_name_plural = _("scheduled jobs")
        get_latest_by = "time_slot_start"
        ordering: ClassVar = ["time_slot_start"]

    def __repr__(self) -> str:
        return f"<ScheduledJob ({self.status}) callable={self.callable_name!r}>"

    def __str__(self) -> str:
        return str(self.callable_name)

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any, **options: Any) -> Any:
        """Make one of a row, and keep with its arguments what they were signed for."""
        made = super().from_db(db, field_names, values, **options)
        if "callable_name" in made.__dict__:
            for name in _ARGUMENTS:
                held = made.__dict__.get(name)
                if isinstance(held, Sealed):
                    made.__dict__[name] = Sealed(held.text, task_of(made))
        made.hold()
        return made

    def refresh_from_db(self, using: Any = None, fields: Any = None, **options: Any) -> None:
        """Read it anew; its arguments when they are asked for, as not all of them can be opened."""
        names = fields
        if names is None:
            deferred = self.get_deferred_fields()
            names = [one.attname for one in self._meta.concrete_fields]
            names = [name for name in names if name not in deferred]
            self._prefetched_objects_cache: dict[str, Any] = {}
            self._state.fields_cache.pop("content_object", None)
        super().refresh_from_db(
            using, [name for name in names if name not in _ARGUMENTS], **options
        )
        for name in set(names) & set(_ARGUMENTS):
            self.__dict__.pop(name, None)
        self.hold(names)

    def hold(self, names: Any = None) -> None:
        """Remember what was read or written.

        Args:
            names: only these fields; None for all.
        """
        found = {
            one.attname: self.__dict__[one.attname]
            for one in self._meta.concrete_fields
            if one.attname in self.__dict__
            and one.attname not in _ARGUMENTS
            and (names is None or one.attname in names or one.name in names)
        }
        self._held = found if names is None else {**(self._held or {}), **found}

    def read_arguments(self, name: str) -> None:
        """Read a field of arguments that was left out."""
        rows = type(self).objects.using(self._state.db).filter(pk=self.pk)
        held, called = rows.values_list(name, "callable_name").get()
        if isinstance(held, Sealed):
            held = Sealed(held.text, serving.name_for(conf.PREFIX, called))
        self.__dict__[name] = held

    def save(self, *args: Any, **options: Any) -> None:
        """Write it: a new one is enqueued; of one that was read, what has changed, so that a job
        which has ended since is not set back.

        Raises:
            PathNotAllowedError: what it names may not be run.
            django.db.IntegrityError: it has no start or no end.
        """
        if self.callable_name:
            kind = self.content_type
            running.check(self.callable_name, None if kind is None else kind.model_class())
        for name in _TIMES:
            value = self.__dict__.get(name)
            if isinstance(value, dt.date):
                setattr(self, name, to_moment(value))
        if len(args) < 3:
            options.setdefault("using", queue.database())
        held = None if args or self._state.adding or options.get("force_insert") else self._held
        if held is not None and options.get("update_fields") is None:
            options["update_fields"] = self._changed(held)
        super().save(*args, **options)
        self.hold(options.get("update_fields"))

    def _changed(self, held: dict[str, Any]) -> list[str]:
        """Name the fields that may be others than in the row; one at least, so that signals go
        out."""
        found = [
            one.attname
            for one in self._meta.concrete_fields
            if one.attname in self.__dict__
            and not one.primary_key
            and (
                not isinstance(self.__dict__[one.attname], Sealed)
                if one.attname in _ARGUMENTS
                else one.attname not in held or held[one.attname] != self.__dict__[one.attname]
            )
        ]
        return found or ["callable_name"]

    def delete(self, *args: Any, **options: Any) -> Any:
        """Delete it with all that hangs on it; one that runs is not deleted."""
        if not args:
            options.setdefault("using", queue.database())
        return super().delete(*args, **options)

    def run(self) -> Any:
        """Call what it names, in this process; its status stays as it is.

        Returns:
            What that returned.
        """
        return running.call(self, list(self.args or ()), dict(self.kwargs or {}))

    def reschedule(
        self,
        date: Any,
        callable_name: str | None = None,
        content_object: Any = None,
        expires: Any = "7d",
        args: Any = None,
        kwargs: Any = None,
    ) -> "ScheduledJob":
        """Schedule a job like this one; what is None is taken from this one.

        Args:
            date: a time; or an offset or timedelta that counts from now, or from the start of this
                job's time slot, as `PGQUEUE["DJANGO_FUTURE"]["RESCHEDULE_FROM"]` says.
            expires: as of `schedule_job`; not taken from this one.
        """
        if conf.get("RESCHEDULE_FROM") == "scheduled":
            date = to_time(date, self.time_slot_start, "date")
        elif isinstance(date, str):
            date = parse_timedelta(date)
        return schedule_job(
            date,
            self.callable_name if callable_name is None else callable_name,
            content_object=self.content_object if content_object is None else content_object,
            expires=expires,
            args=self.args if args is None else args,
            kwargs=self.kwargs if kwargs is None else kwargs,
        )


def schedule_job(
    date: Any,
    callable_name: str,
    content_object: Any = None,
    expires: Any = "7d",
    args: Any = (),
    kwargs: Any = None,
) -> ScheduledJob:
    """Schedule a job, in the transaction that is under way.

    Args:
        date: a datetime, in the current time zone where it has none; or, counted from now, a
            timedelta or an offset such as `"5d"` (`m`, `h`, `d`, `w`).
        callable_name: a path, `"shop.tasks.send"`; or the name of a method of `content_object`.
        content_object: a model instance; passed first to a function.
        expires: when the job is not to begin any more: a datetime; or a timedelta or an offset that
            counts from `date`.
        args: positional arguments.
        kwargs: keyword arguments.

    Raises:
        AssertionError: `callable_name` is no text, or empty.
        KeyError, ValueError: an offset is none.
        TypeError: `kwargs` is no dictionary.
        PathNotAllowedError: what is named may not be run.
        django.db.IntegrityError: `expires` is empty; a job needs an end.
    """
    if not callable_name or not isinstance(callable_name, str):
        raise AssertionError(callable_name)
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs must be a dictionary; got a value of type {type(kwargs).__name__}")
    coroutines.refuse("schedule_job()", "await sync_to_async(schedule_job)(…) there")
    start = to_time(date, timezone.now(), "date")
    job = ScheduledJob(callable_name=callable_name, time_slot_start=start)
    if expires:
        job.time_slot_end = to_time(expires, start, "expires")
    if content_object is not None:
        job.content_object = content_object
    job.args = args
    words: Any = {} if kwargs is None else dict(kwargs)
    job.kwargs = words
    job.save()
    return job
