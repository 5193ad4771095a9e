"""Arguments and results for people: indented, with secrets left out."""

import inspect
import json
from typing import Any, Final

from django.utils.translation import gettext as _

from pgqueue.api.decorating import registry
from pgqueue.django import conf

#: What is shown in the place of a secret.
HIDDEN: Final = "••••••"
#: Longer JSON is cut.
MOST: Final = 64 * 1024


def pretty(text: str | None, names: tuple[str, ...] = ()) -> str:
    """Indent JSON, its secrets hidden.

    Args:
        text: the JSON; None for none.
        names: of the values of an array, where they have some, as positional arguments do.
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
        shown = json.dumps(_without_secrets(value), indent=2, ensure_ascii=False)
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
    if task is None or task not in registry:
        return ()
    found = registry.get(task)
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
