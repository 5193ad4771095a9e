"""Arguments and results for people: indented, with secrets left out."""

import inspect
import json
import re
import secrets
from collections.abc import Iterable
from typing import Any, Final

from django.utils.translation import gettext as _

from pgqueue.core import tagged
from pgqueue.django import conf
from pgqueue.django.admin.discovery import known_tasks

#: What is shown in the place of a secret.
HIDDEN: Final = "••••••"
#: Longer JSON is cut.
MOST: Final = 64 * 1024


def pretty(text: str | None, names: tuple[str, ...] = (), *, without: Iterable[str] = ()) -> str:
    """Indent JSON, its secrets hidden, its tagged values as people write them.

    Args:
        text: the JSON; None for none.
        names: of the values of an array, where they have some, as positional arguments do.
        without: keys of an object that are not for people.
    """
    if text is None:
        return ""
    try:
        value = json.loads(text)
        if isinstance(value, list) and names:
            value = [
                HIDDEN if at < len(names) and is_secret(names[at]) else one
                for at, one in enumerate(value)
            ]
        if isinstance(value, dict):
            value = {key: one for key, one in value.items() if key not in without}
        tags = _Tags()
        shown = json.dumps(tags.taken_out(_without_secrets(value)), indent=2, ensure_ascii=False)
        shown = tags.put_back(shown)
    except (RecursionError, ValueError):
        # Too deep, or a number too long: then it is not known what of it is a secret.
        return str(_("%(size)s bytes of JSON that cannot be shown") % {"size": len(text)})
    if len(shown) > MOST:
        more = _("… and %(more)s characters more") % {"more": len(shown) - MOST}
        return f"{shown[:MOST]}\n{more}"
    return shown


def is_secret(name: str) -> bool:
    """Tell whether what has this name is not to be shown: `PGQUEUE["REDACT"]`."""
    lower = name.lower()
    return any(part in lower for part in conf.redact())


def parameters(task: str | None) -> tuple[str, ...]:
    """Give the names of a task's positional parameters, where this process knows the task."""
    if task is None or task not in known_tasks():
        return ()
    found = known_tasks().get(task)
    try:
        taken = list(inspect.signature(found.function).parameters.values())
    except (TypeError, ValueError):
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [one.name for one in taken if one.kind in positional]
    return tuple(names[1:] if found.options.context else names)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN if is_secret(key) else _without_secrets(one) for key, one in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(one) for one in value]
    return value


class _Tags:
    """Take tagged values out of JSON before it is indented, and put words in their places."""

    def __init__(self) -> None:
        # Nothing that is shown can be taken for the mark: nobody knows it.
        self._mark = secrets.token_hex(12)
        self._words: list[str] = []

    def taken_out(self, value: Any) -> Any:
        if isinstance(value, dict):
            if (words := _words_of(value)) is not None:
                self._words.append(words)
                return f"{self._mark}{len(self._words) - 1}"
            return {key: self.taken_out(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.taken_out(one) for one in value]
        return value

    def put_back(self, shown: str) -> str:
        if not self._words:
            return shown
        return re.sub(f'"{self._mark}([0-9]+)"', lambda found: self._words[int(found[1])], shown)


def _words_of(value: dict[str, Any]) -> str | None:
    """Say a tagged value that holds no other: `shop.order 42`, `decimal 1.50`."""
    if value.keys() != {tagged.TAG, tagged.VALUE}:
        return None
    tag, held = value[tagged.TAG], value[tagged.VALUE]
    if not isinstance(tag, str):
        return None
    if tag == tagged.OBJECT_TAG and isinstance(held, list) and held:
        return " ".join(one if isinstance(one, str) else json.dumps(one) for one in held)
    return f"{tag} {held}" if isinstance(held, str) else None
