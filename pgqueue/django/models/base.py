"""What all models here share: they read, and where the queue is; and fields for columns that hold
more than Python can."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from django.db import models

from pgqueue.django import conf

_writable: Final[ContextVar[bool]] = ContextVar("pgqueue_writable_models", default=False)

#: What may stand in a `timestamptz` column and has no place in Python's calendar is shown as these,
#: a day away from its ends, since it is still to be moved to a time zone.
_FIRST: Final = "'0001-01-02 00:00:00+00'::timestamptz"
_LAST: Final = "'9999-12-30 00:00:00+00'::timestamptz"


@contextlib.contextmanager
def writable_models() -> Iterator[None]:
    """Let the models be written; for tests that need rows in a certain state."""
    token = _writable.set(True)
    try:
        yield
    finally:
        _writable.reset(token)


def refuse_write(model: Any) -> None:
    """Pass only where the models may be written.

    Raises:
        TypeError: they may not.
    """
    if not _writable.get():
        _refuse(model)


def _refuse(model: Any) -> NoReturn:
    raise TypeError(
        f"{model._meta.object_name} can be read only, its table is written by functions of the "
        "queue; use enqueue(), cancel(), retry(), delete(), set_priority() and pgqueue.queues; in "
        "tests, pgqueue.django.testing.writable_models()"
    )


class QueueQuerySet(models.QuerySet):
    """Rows of the queue, from the database that holds it."""

    def create(self, **values: Any) -> Any:
        """Refuse; see `writable_models`."""
        refuse_write(self.model)
        return super().create(**values)

    def bulk_create(self, *args: Any, **options: Any) -> Any:
        """Refuse; see `writable_models`."""
        refuse_write(self.model)
        return super().bulk_create(*args, **options)

    def bulk_update(self, *args: Any, **options: Any) -> Any:
        """Refuse; see `writable_models`."""
        refuse_write(self.model)
        return super().bulk_update(*args, **options)

    def update(self, **values: Any) -> Any:
        """Refuse; see `writable_models`."""
        refuse_write(self.model)
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> Any:
        """Refuse; see `writable_models`."""
        refuse_write(self.model)
        return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class QueueManager(models.Manager.from_queryset(QueueQuerySet)):  # type: ignore[misc]
    """Read from the queue's database, whatever routers say: a replica would be behind."""

    def get_queryset(self) -> Any:
        """Give all rows."""
        return self._queryset_class(
            model=self.model, using=self._db or conf.database(), hints=self._hints
        )


class QueueModel(models.Model):
    """A row of a table or view of the queue."""

    objects = QueueManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """Refuse; see `writable_models`."""
        refuse_write(type(self))
        options.setdefault("using", conf.database())
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> Any:
        """Refuse; see `writable_models`."""
        refuse_write(type(self))
        return super().delete(*args, **options)


class MomentField(models.DateTimeField):
    """A time that may be "infinity", as that of a parked job; read as the end of the calendar."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        """Bring it into the calendar on its way out."""
        # greatest() and least() pass over null.
        brought = f"greatest({_FIRST}, least({_LAST}, {sql}))"
        return f"CASE WHEN {sql} IS NOT NULL THEN {brought} END", (*params, *params)


class SpanField(models.DurationField):
    """A duration that may be "infinity"; read as none."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        """Leave out what Python has no value for."""
        return f"CASE WHEN isfinite({sql}) THEN {sql} END", (*params, *params)


class TextListField(models.Field):
    """An array of texts; `django.contrib.postgres` need not be installed for it."""

    _element = "text"

    def db_type(self, connection: Any) -> str:
        """Give the type of the column."""
        return f"{self._element}[]"

    def get_prep_value(self, value: Any) -> Any:
        """Give the list as the driver takes it."""
        return None if value is None else list(value)


class NumberListField(TextListField):
    """An array of small numbers."""

    _element = "integer"


class IdListField(TextListField):
    """An array of ids."""

    _element = "bigint"
