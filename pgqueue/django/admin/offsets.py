"""Durations in forms, as pgqueue writes them: `90s`, `3h`, `1d12h`."""

import datetime as dt
from typing import Any, Final

from django import forms

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.offsets import parse_offset

#: In the order in which a duration is written.
_UNITS: Final = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60))


class OffsetField(forms.CharField):
    """A duration as pgqueue writes it: `90s`, `3h`, `1d12h`; empty for none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=100, **options)

    def clean(self, value: Any) -> dt.timedelta | None:
        """Read it."""
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_offset("0s" if text == "0" else text, "it")
        except ConfigurationError as error:
            raise forms.ValidationError(str(error)) from error


def offset_of(value: dt.timedelta | None) -> str:
    """Write a duration as it is typed."""
    if value is None:
        return ""
    left = value.total_seconds()
    text = ""
    for unit, length in _UNITS:
        text += f"{left // length:.0f}{unit}" if left >= length else ""
        left %= length
    return text + (f"{left:g}s" if left or not text else "")
