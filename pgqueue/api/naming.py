"""How a task that was given no name gets one that a worker finds too: `module.function`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.importing import dotted_path
from pgqueue.core.options import check_task_name

_MAIN = "__main__"


def name_of(function: Callable[..., Any]) -> str:
    """Give the name of a task that is called by its function.

    A function in the program that was started is in ``__main__`` here, but a worker imports it as
    the module it is; so that module's name is found out.

    Raises:
        ConfigurationError: no worker could find the function: a lambda, a function inside
            another, one typed into the interpreter.
    """
    path = dotted_path(function)
    module, _, rest = path.partition(".")
    if module == _MAIN:
        path = f"{_main_module()}.{rest}"
    return check_task_name(path)


def _main_module() -> str:
    main = sys.modules[_MAIN]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m shop.tasks
        return str(spec.name)
    file = getattr(main, "__file__", None)
    if file is None:
        raise ConfigurationError(
            "a task defined in the interpreter has no module that a worker could import; "
            "give it a name: @task(name=…)"
        )
    path = Path(file).resolve()  # python shop/tasks.py
    parts = [path.stem]
    for folder in path.parents:
        if not (folder / "__init__.py").exists():
            break
        parts.insert(0, folder.name)
    return ".".join(parts)
