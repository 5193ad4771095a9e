"""How a worker finds the tasks of a facade: `django_q:shop.tasks.send` is run by one function."""

import functools
from collections.abc import Callable
from typing import Any, Unpack

from pgqueue.api.decorating import registry
from pgqueue.api.default import default_app
from pgqueue.api.task import ContextTask, Task
from pgqueue.api.words import TaskWords
from pgqueue.core.options import TaskOptions

#: Tasks that are kept: making one looks at the signature of its function.
_KEPT = 1000


def serve(prefix: str, run: Callable[..., Any], **options: Unpack[TaskWords]) -> None:
    """Let every task whose name begins with a prefix be run by one function.

    Call it in `AppConfig.ready()`.

    Args:
        prefix: of the facade, without the colon.
        run: called as `run(context, *args, **kwargs)`; `path_in(context.task)` is what the job
            named.
        options: as of `pgqueue.task`; what a job says of its own goes first.
    """
    checked = TaskOptions.from_kwargs(context=True, **options)

    @functools.lru_cache(_KEPT)
    def find(name: str) -> Task[Any, Any]:
        return ContextTask(run, checked, name, lambda: default_app().clients)

    registry.add_finder(prefix, find)


def name_for(prefix: str, path: str) -> str:
    """Give the name of the task that stands for a dotted path in a facade."""
    return f"{prefix}:{path}"


def path_in(task: str) -> str:
    """Give the dotted path out of the name of a facade's task."""
    return task.partition(":")[2]
