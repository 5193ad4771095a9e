"""The arguments of schedules: texts of literals, as people write them and rows have them."""

import ast
from typing import Any, Final

_LITERALS: Final = (
    "literals: text, numbers, None, and lists, tuples, sets and dictionaries of these; pass what "
    "identifies anything else, as an id"
)
_ARGS: Final = f"args must be {_LITERALS}"
_KWARGS: Final = f"kwargs must be a dictionary, or x=1, y=2, of {_LITERALS}"


def arguments(args: str | None, kwargs: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read both: `1, 2`, and a dictionary or `x=1, y=2`; empty for none.

    Raises:
        ValueError: they are something else.
    """
    return positional(args), named(kwargs)


def positional(text: str | None) -> tuple[Any, ...]:
    """Read positional arguments.

    Raises:
        ValueError: they are no literals.
    """
    if not text:
        return ()
    found = _literal(text, _ARGS)
    return found if isinstance(found, tuple) else (found,)


def named(text: str | None) -> dict[str, Any]:
    """Read keyword arguments.

    Raises:
        ValueError: they are neither a dictionary of literals nor `x=1, y=2`.
    """
    if not text:
        return {}
    try:
        found = _literal(text, _KWARGS)
    except ValueError:
        found = _named(text)
    if not isinstance(found, dict):
        raise ValueError(_KWARGS)
    return dict(found)


def _literal(text: str, why: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(why) from None


def _named(text: str) -> dict[str, Any]:
    try:
        call: Any = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
            raise ValueError
        return {str(word.arg): ast.literal_eval(word.value) for word in call.keywords if word.arg}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(_KWARGS) from None
