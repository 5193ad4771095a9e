"""The field of arguments and results: tagged JSON, with signed pickles where JSON has no form."""

import json
from typing import Any, Final

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from pgqueue.compat import pickles
from pgqueue.core import codec
from pgqueue.core.errors import BadArgumentsError
from pgqueue.django.references import Reference

#: What signed pickles of these columns are bound to.
_TASK: Final = "django_q.Task"
_QUEUE: Final = "django_q"
#: What begins so in a fixture is JSON.
_WRITTEN: Final = "pgqueue:"
#: The most bytes of one value: what jsonb can hold.
_MOST: Final = 250 * 1024 * 1024


class PackedField(models.Field):
    """Any value of Python: what the codec of the queue knows as JSON, the rest pickled and signed.

    A saved model instance is kept by its primary key and read anew; one whose row is gone is given
    as what stands for it.
    """

    def db_type(self, connection: Any) -> str:
        """Give the type of the column."""
        return "jsonb"

    def get_internal_type(self) -> str:
        """Name the kind of field, for lookups and serializers."""
        return "TextField"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Write a value; None is null."""
        if value is None:
            return None
        return connection.ops.adapt_json_value(json.loads(dumps(value)), None)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Read a value."""
        return None if value is None else loads(value)

    def value_to_string(self, obj: models.Model) -> str:
        """Write a value for a serializer."""
        return _WRITTEN + dumps(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """Give any value as it is, but for what `value_to_string` has written."""
        if isinstance(value, str) and value.startswith(_WRITTEN):
            return loads(value[len(_WRITTEN) :])
        return value


def dumps(value: Any) -> str:
    """Write a value as JSON.

    Raises:
        NotSerializableError: it can neither be written nor be pickled.
    """
    packed = pickles.pack(value, task=_TASK, queue=_QUEUE)
    return codec.dumps(packed, max_bytes=_MOST, name="the value").decode()


def loads(text: Any) -> Any:
    """Read what `dumps` has written.

    Raises:
        DecodeError: a pickle is not signed by this project, or its class is gone.
    """
    if not isinstance(text, str | bytes):
        text = json.dumps(text)
    return with_rows(pickles.unpack(codec.loads(text), task=_TASK, queue=_QUEUE))


def with_rows(value: Any) -> Any:
    """Put model instances in the place of references; of a row that is gone the reference stays."""
    kind = type(value)
    if kind is Reference:
        try:
            return value.fetch()
        except (ObjectDoesNotExist, BadArgumentsError):
            return value
    if kind in (list, tuple, set, frozenset):
        return kind([with_rows(item) for item in value])
    if kind is dict:
        return {key: with_rows(item) for key, item in value.items()}
    return value
