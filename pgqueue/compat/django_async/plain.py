"""Arguments and results as the JSON that django-async kept; what it is as text, and in a row."""

import decimal
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from pgqueue.core import codec
from pgqueue.core.errors import DecodeError
from pgqueue.core.tagged import TAG


def dumps(value: Any) -> str:
    """Write a value as JSON.

    Raises:
        TypeError: there is something in it that JSON has no form for.
        ValueError: there is a number in it that is none.
    """
    return json.dumps(_plain(value), allow_nan=False)


def loads(text: str) -> Any:
    """Read JSON."""
    return json.loads(text)


def _plain(value: Any) -> Any:
    """Give what Python's own writer has other forms for than simplejson had."""
    kind = type(value)
    if kind is decimal.Decimal:
        number = float(value)
        return int(value) if number.is_integer() and value == value.to_integral() else number
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


class JsonTextField(models.TextField):
    """JSON as text, in a column that keeps what it means."""

    def get_prep_value(self, value: Any) -> Any:
        """Give the text that is stored.

        Raises:
            ValidationError: it is not JSON.
        """
        text = super().get_prep_value(value)
        if not text:
            return text
        try:
            found = loads(text)
            # Of what the column cannot hold, this says where it stands.
            stored = codec.dumps(found, path="$", name=self.name).decode()
        except (RecursionError, ValueError) as error:
            raise ValidationError(f"{self.name} must be JSON: {error}") from error
        return stored if f'"{TAG}"' in text else text

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Give the text as it was written."""
        if not value or (value.isascii() and f'"{TAG}"' not in value):
            return value
        try:
            return dumps(codec.loads(value))
        except (DecodeError, TypeError):
            return value
