"""Dotted paths and what they name: `"shop.tasks.send_receipt"` to the function and back."""

import importlib
import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pgqueue.core.errors import ConfigurationError, shown, suggest

_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*(?::[^\W\d]\w*(?:\.[^\W\d]\w*)*)?")
_MAX_PATH = 500


def import_module(path: str) -> ModuleType:
    """Import a module by its dotted path.

    Raises:
        ConfigurationError: it is no dotted path, or there is no such module; an error inside the
            module comes through as it is.
    """
    _check_path(path, "a module must be given as a dotted path such as 'shop.tasks'")
    if ":" in path:
        raise ConfigurationError(f"a module's path has no colon; got {shown(path)}")
    module = _module_if_any(path)
    if module is None:
        raise ConfigurationError(
            f"there is no module {shown(path)}; is its folder on the import path "
            "and is the name spelled right"
        )
    return module


def import_object(path: str) -> object:
    """Import what a dotted path names.

    Args:
        path: `"shop.tasks.send_receipt"`, or with a colon behind the module,
            `"shop.tasks:Mail.send"`.

    Raises:
        ConfigurationError: it is no dotted path, or names nothing; an error inside an imported
            module comes through as it is.
    """
    _check_path(path, "it must be a dotted path such as 'shop.tasks.send_receipt'")
    if ":" in path:
        name, _, rest = path.partition(":")
        return _attribute(import_module(name), rest.split("."), path)
    parts = path.split(".")
    # The longest prefix that is a module; what stands behind it are attributes.
    for size in range(len(parts), 0, -1):
        module = _module_if_any(".".join(parts[:size]))
        if module is not None:
            return _attribute(module, parts[size:], path)
    raise ConfigurationError(f"{shown(path)} names nothing; there is no module '{parts[0]}'")


def import_callable(path: str) -> Callable[..., Any]:
    """Import what a dotted path names, and insist that it can be called; see `import_object`."""
    found = import_object(path)
    if not callable(found):
        raise ConfigurationError(
            f"{shown(path)} must name something that can be called; "
            f"it is a value of type {type(found).__name__}"
        )
    return found


def dotted_path(target: Callable[..., Any]) -> str:
    """Give the path under which another process would find a function or a class.

    Raises:
        ConfigurationError: it has no such path, as a lambda, a local function or a partial.
    """
    module = getattr(target, "__module__", None)
    name = getattr(target, "__qualname__", None)
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ConfigurationError(
            f"a value of type {type(target).__name__} has no dotted path; "
            "use a function at the top of a module"
        )
    if "<" in name or inspect.ismethod(target):
        what = "a bound method" if inspect.ismethod(target) else f"'{name}'"
        raise ConfigurationError(
            f"{what} has no dotted path; use a function at the top of a module, or give a name"
        )
    return f"{module}.{name}"


def _check_path(path: object, expected: str) -> None:
    if not isinstance(path, str) or len(path) > _MAX_PATH or not _PATH.fullmatch(path):
        raise ConfigurationError(f"{expected}; got {shown(path)}")


def _module_if_any(path: str) -> ModuleType | None:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        # Only when it, or a package around it, is what is missing; not what it imports itself.
        missing = error.name or ""
        if path == missing or path.startswith(f"{missing}."):
            return None
        raise


def _attribute(module: ModuleType, names: list[str], path: str) -> object:
    found: object = module
    place = f"module '{module.__name__}'"
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            near = suggest(name, (item for item in dir(found) if not item.startswith("_")))
            raise ConfigurationError(
                f"{shown(path)} names nothing; {place} has no '{name}'{near}"
            ) from None
        place = f"'{name}'"
    return found
