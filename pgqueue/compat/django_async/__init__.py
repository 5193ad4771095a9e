"""django-async over this queue: the names, models, commands and addresses of its version 0.7.3.

`async` is a keyword of Python, so the package cannot have its old name in a statement; see
`docs/howto/from-django-async.md`. What is named here is imported when it is first used: this
package is imported before models may be.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pgqueue.compat import alias

if TYPE_CHECKING:
    from pgqueue.compat.django_async.models import Job

__all__ = ["install_as", "schedule"]


def install_as(name: str = "async") -> None:
    """Let this package be imported by another name as well; call it at the top of the settings.

    Args:
        name: `async`, for what asks for it by that name, as `importlib.import_module` and
            INSTALLED_APPS do; or one that statements can have, such as `django_async`.
    """
    alias.install(__name__, name)


def schedule(
    function: Any, args: Any = None, kwargs: Any = None, *more: Any, **options: Any
) -> "Job":
    """Enqueue a job; see `pgqueue.compat.django_async.api.schedule`."""
    api: Any = importlib.import_module("pgqueue.compat.django_async.api")
    job: Job = api.schedule(function, args, kwargs, *more, **options)
    return job
