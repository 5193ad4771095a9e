"""Which functions a row may name: those of the project's apps, and those that one setting allows.

A dotted path in a row is an instruction to run something, written by whoever can write rows. So a
path is `module.function` or `module.Class.method`, no part of it begins with two underscores, and
what it leads to must be defined in a module that is allowed: of an installed app other than
Django's, or named in `PGQUEUE["ALLOW"]`. That defeats `shop.tasks.os.system`, and
`shop.tasks.system` behind a `from os import system`.

The entries of ALLOW:

    math.*              what is defined in the module math, not in modules below it
    shop.legacy.tidy    exactly this, wherever it is defined
    django.core.management.call_command:clearsessions   this command; `:*` for every command
"""

import builtins
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

from django.apps import apps

from pgqueue.compat import alias
from pgqueue.core.errors import ConfigurationError, shown
from pgqueue.core.importing import dotted_path
from pgqueue.django import conf

#: Modules of which a pattern allows nothing: each function must be named exactly.
GUARDED: Final = frozenset(
    {
        "asyncio", "builtins", "code", "codeop", "concurrent", "ctypes", "distutils", "ensurepip",
        "gc", "importlib", "inspect", "io", "marshal", "multiprocessing", "nt", "ntpath", "os",
        "pathlib", "pdb", "pickle", "pip", "pkgutil", "platform", "posix", "posixpath", "pty",
        "pydoc", "runpy", "setuptools", "shelve", "shutil", "signal", "site", "socket",
        "subprocess", "sys", "tempfile", "threading", "timeit", "types", "urllib", "venv",
        "webbrowser",
    }
)  # fmt: skip

_COMMANDS: Final = "django.core.management.call_command"
_PATH: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_LONGEST: Final = 400


class PathNotAllowedError(ConfigurationError):
    """Say that a dotted path may not be run, and what to add to which setting."""

    __module__ = "pgqueue.compat"


class PathNotFoundError(ConfigurationError):
    """Say that a dotted path names nothing that can be called."""

    __module__ = "pgqueue.compat"


def path_of(function: Callable[..., Any]) -> str:
    """Give the dotted path of a function, or of a method of a class.

    Raises:
        ConfigurationError: it has none, as a lambda, a local function or a method of an instance.
    """
    owner = getattr(function, "__self__", None)
    if inspect.ismethod(function) and isinstance(owner, type):
        return f"{dotted_path(owner)}.{function.__name__}"
    return dotted_path(function)


def check(path: str, args: Iterable[object] = ()) -> None:
    """Pass where a worker with these settings would run what a path names, or would not find it.

    Imports the module, if it is an allowed one.

    Args:
        args: with which it would be called, for the name of a command.

    Raises:
        PathNotAllowedError: it would refuse.
    """
    try:
        found = resolve(path)
    except PathNotAllowedError:
        raise
    except Exception:
        # It does not exist, or its module cannot be imported: perhaps only here.
        return
    if isinstance(found, functools.partial) and found.func is _call_command:
        _check_command(found.args[0], args)


def resolve(path: str) -> Callable[..., Any]:
    """Import what a path names.

    Raises:
        PathNotAllowedError: it may not be run.
        PathNotFoundError: there is no such thing, or it cannot be called.
        Exception: what its module raises when it is imported.
    """
    if not isinstance(path, str) or len(path) > _LONGEST or not _PATH.fullmatch(path):
        raise PathNotFoundError(
            f"a function must be given as a dotted path such as 'shop.tasks.send'; got "
            f"{shown(path)}"
        )
    full = _full(path)
    entries = conf.allow()
    commands = frozenset(
        entry.partition(":")[2] for entry in entries if entry.startswith(f"{full}:")
    )
    exact = full in entries or path in entries or bool(commands)
    module, names = _split(path, full, entries, exact=exact)
    found = _attribute(module, names, path)
    if not callable(found):
        raise PathNotFoundError(
            f"{shown(path)} must name something that can be called; it is a value of type "
            f"{type(found).__name__}"
        )
    if not exact:
        _check_home(module, names, found, path, entries)
    if _is_call_command(found):
        return functools.partial(_call_command, commands)
    function: Callable[..., Any] = found
    return function


def _full(path: str) -> str:
    """Write a path with the module's own name; a row may still have that of an old library."""
    if "." not in path:
        return f"builtins.{path}"
    first, _, rest = path.partition(".")
    facade = alias.FACADES.get(first)
    if facade is not None and apps.is_installed(facade):
        return f"{facade}.{rest}"
    return alias.real(path)


def _split(
    path: str, full: str, entries: tuple[str, ...], *, exact: bool
) -> tuple[ModuleType, list[str]]:
    """Find the module of a path, without importing one that is not allowed."""
    parts = full.split(".")
    if not exact:
        if any(part.startswith("__") for part in parts):
            raise _refused(path, "a part of it begins with two underscores", exact_only=True)
        if any(part.startswith("_") for part in parts):
            # Private to a module of the project, which is its own affair; not by a pattern.
            entries = ()
        if not any(_is_allowed(".".join(parts[:-size]), entries) for size in (1, 2)):
            if parts[0] not in sys.modules and _is_missing(parts[0]):
                raise PathNotFoundError(f"{shown(path)} names nothing; no module is {parts[0]}")
            raise _refused(path, "its module is not of an installed app of the project")
    # The longest first: a module hides an attribute of its package that has its name.
    for size in (1, 2):
        name = ".".join(parts[:-size])
        if not name or not (exact or _is_allowed(name, entries)):
            continue
        module = _module(name)
        if module is not None:
            return module, parts[-size:]
    raise PathNotFoundError(f"{shown(path)} names nothing; there is no such module")


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            return None
        raise


def _is_missing(name: str) -> bool:
    try:
        # Of a top-level name: imports nothing.
        return find_spec(name) is None
    except (ImportError, ValueError):
        return False


def _attribute(module: ModuleType, names: list[str], path: str) -> Any:
    found: Any = module
    for name in names:
        if found is not module and not isinstance(found, type):
            why = "a path is module.function or module.Class.method"
            if isinstance(found, ModuleType):
                raise _refused(f"{found.__name__}.{name}", why)
            raise PathNotFoundError(f"{shown(path)} names nothing that can be run; {why}")
        try:
            found = getattr(found, name)
        except AttributeError:
            raise PathNotFoundError(f"{shown(path)} names nothing; it has no {name!r}") from None
    return found


def _check_home(
    module: ModuleType, names: list[str], found: Any, path: str, entries: tuple[str, ...]
) -> None:
    """Pass where a thing is defined in an allowed module, whatever module it was reached by."""
    mock = sys.modules.get("unittest.mock")
    if mock is not None and isinstance(found, mock.NonCallableMock):
        # A test has put it in the place of what is there.
        return
    first = getattr(module, names[0])
    home = getattr(first, "__module__", None)
    if isinstance(first, ModuleType) or not _is_allowed(home, entries):
        raise _refused(path, f"it is defined in {shown(home)}", exact_only=True)
    if len(names) == 1:
        return
    owner = next((kind for kind in first.__mro__ if names[1] in vars(kind)), None)
    inner = getattr(found, "__module__", None)
    # Inherited from the framework is well; another's function, taken in as one of its own, is not.
    if owner is None or (inner != owner.__module__ and not _is_allowed(inner, entries)):
        raise _refused(path, f"it is defined in {shown(inner)}", exact_only=True)


def _is_allowed(module: object, entries: tuple[str, ...]) -> bool:
    if not isinstance(module, str) or not module:
        return False
    if module == "django.core.management" or module.partition(".")[0] in GUARDED:
        return False
    if f"{module}.*" in entries:
        return True
    app = apps.get_containing_app_config(module)
    return app is not None and not (app.name == "django" or app.name.startswith("django."))


def _is_call_command(found: object) -> bool:
    return (
        getattr(found, "__module__", None) == "django.core.management"
        and getattr(found, "__name__", None) == "call_command"
    )


def _call_command(commands: frozenset[str], *args: Any, **kwargs: Any) -> Any:
    _check_command(commands, args)
    management = importlib.import_module("django.core.management")
    return management.call_command(*args, **kwargs)


def _check_command(commands: frozenset[str], args: Iterable[object]) -> None:
    name = next(iter(args), None)
    if "*" in commands or (isinstance(name, str) and name in commands):
        return
    raise PathNotAllowedError(
        f"the command {shown(name)} may not be run by a job; add "
        f"'{_COMMANDS}:{name if isinstance(name, str) else 'name'}' to PGQUEUE[\"ALLOW\"]"
    )


def _refused(path: str, why: str, *, exact_only: bool = False) -> PathNotAllowedError:
    module, _, name = path.rpartition(".")
    if path == _COMMANDS:
        return PathNotAllowedError(
            f"call_command may be run only with commands that are named; add '{_COMMANDS}:command' "
            'to PGQUEUE["ALLOW"]'
        )
    guarded = not module or module.partition(".")[0] in GUARDED or exact_only
    add = f"'{path}'" if guarded else f"'{module}.*' or '{path}'"
    known = " (a built-in)" if not module and hasattr(builtins, name) else ""
    return PathNotAllowedError(
        f"{shown(path)}{known} may not be run by a job: {why}; if it is to be, add {add} to "
        'PGQUEUE["ALLOW"]'
    )
