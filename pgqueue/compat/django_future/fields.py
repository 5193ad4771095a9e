"""Fields for columns that hold more than Django's own fields know."""

import json
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db import models

from pgqueue.compat import pickles, serving
from pgqueue.compat.django_future import conf
from pgqueue.core import codec
from pgqueue.django import references


@dataclass(frozen=True, slots=True)
class Sealed:
    """Arguments among which are signed pickles or model instances, not opened yet.

    Attributes:
        text: the JSON.
        task: what it was signed for; empty where that was not read along.
    """

    text: str
    task: str = ""

    def __repr__(self) -> str:
        return "<arguments that their job opens>"

    def open(self, task: str) -> Any:
        """Fetch model instances, and open what is signed."""
        (filled,), _ = references.fetch([codec.loads(self.text)], {})
        return pickles.unpack(filled, task=self.task or task, queue=conf.QUEUE)


@dataclass(frozen=True, slots=True)
class _Written:
    """What is written into the column, plain JSON."""

    value: Any


class _Opening:
    """Open what is sealed when it is first asked for."""

    def __init__(self, field: models.Field) -> None:
        self.field = field

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        name = self.field.attname
        if name not in instance.__dict__:
            instance.read_arguments(name)
        found = instance.__dict__[name]
        if isinstance(found, Sealed):
            found = instance.__dict__[name] = found.open(task_of(instance))
        return found

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class ArgumentsField(models.Field):
    """Positional or keyword arguments, as the queue stores them.

    Model instances are stored by their keys, and what JSON has no form for as a signed pickle.
    """

    descriptor_class = _Opening

    def db_type(self, connection: Any) -> str:
        """Give the type of the column."""
        return "jsonb"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Read it, but for what only the job can open."""
        if not isinstance(value, str):
            return value
        read = codec.loads(value)
        return Sealed(value) if _is_sealed(read) else read

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        """Give what is written, pickles signed for this job's task."""
        held = model_instance.__dict__.get(self.attname)
        task = task_of(model_instance)
        if isinstance(held, Sealed):
            if held.task == task:
                return _Written(json.loads(held.text))
            held = held.open(task)
        kept = pickles.pack(_plain(held), task=task, queue=conf.QUEUE)
        return None if kept is None else _Written(json.loads(codec.dumps(kept)))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Give it as the driver takes it; without a job there are no pickles."""
        if value is None or hasattr(value, "as_sql"):
            return value
        if isinstance(value, _Written):
            held = value.value
        else:
            held = json.loads(codec.dumps(_plain(value)))
        return connection.ops.adapt_json_value(held, None)

    def value_to_string(self, obj: Any) -> str:
        """Give it as JSON, as for fixtures."""
        return codec.dumps(_plain(self.value_from_object(obj))).decode()


class ObjectIdField(models.TextField):
    """A primary key of any kind, as text; one that is a whole number comes back as such."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Give it as the old library did, where it could."""
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value) if str(int(value)) == value else value
        return value

    def formfield(self, **options: Any) -> Any:
        """Let it be one line."""
        return super().formfield(**{**options, "widget": forms.TextInput})


def task_of(instance: Any) -> str:
    """Give the name of the task that a job runs, for which its pickles are signed."""
    return serving.name_for(conf.PREFIX, instance.callable_name)


def _plain(value: Any) -> Any:
    """Give arguments as one of the forms that are stored: a list, a tuple or a dictionary."""
    if value is None or isinstance(value, dict | tuple):
        return value
    return list(value)


def _is_sealed(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return any(_is_sealed(item) for item in value.values())
    if kind in (list, tuple, set, frozenset):
        return any(_is_sealed(item) for item in value)
    return kind in (pickles.Pickled, references.Reference)
