"""Names of functions, and functions by their names."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pgqueue.compat import paths

#: What this package is called in jobs: as it always was, so that jobs keep their names.
OLD: Final = "async"
_OWN: Final = "pgqueue.compat.django_async"


def full_name(item: Any) -> str:
    """Give the name by which a function is found again; a string is taken for one.

    Raises:
        ConfigurationError: it has none, as a lambda or the method of an instance.
    """
    if isinstance(item, str):
        return item
    path = paths.path_of(item)
    return OLD + path.removeprefix(_OWN) if path.startswith(f"{_OWN}.") else path


def object_at_end_of_path(path: str) -> Callable[..., Any]:
    """Find what a dotted path names, if it may be run.

    Raises:
        PathNotAllowedError: it may not be run.
        PathNotFoundError: there is no such thing, or it cannot be called.
    """
    return paths.resolve(real_path(path))


def real_path(path: str) -> str:
    """Give the path where a function of this package is, for the one it has in jobs."""
    return _OWN + path.removeprefix(OLD) if path.startswith(f"{OLD}.") else path


def non_unicode_kwarg_keys(kwargs: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Give keyword arguments with keys that are strings."""
    return {str(key): value for key, value in kwargs.items()} if kwargs else {}
