"""pgqueue in a Django project. The only folder that imports Django, but for `compat`.

`INSTALLED_APPS += ["pgqueue.django"]` is all that is needed. What is named here is imported when it
is first asked for: this package is imported before models may be.
"""

import importlib
from typing import Any, Final

_PLACES: Final = {
    "PgQueueBackend": "pgqueue.django.backend",
    "PgTask": "pgqueue.django.backend",
    "Router": "pgqueue.django.router",
    "task": "pgqueue.django.backend",
    "use_django_connections": "pgqueue.django.transactions",
}

__all__ = ["PgQueueBackend", "PgTask", "Router", "task", "use_django_connections"]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(place), name)
