"""Whether a call fits a task's signature, said at enqueue, where the mistake is."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pgqueue.core.errors import BadArgumentsError, ConfigurationError, shown, suggest

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Signature:
    """Hold what a task's function takes; made once a task, asked at every enqueue.

    Args:
        function: the task's function.
        context: whether the first parameter is the Context, which no caller gives.
        name: what errors call it; the function's own name if None.

    Raises:
        ConfigurationError: `context` is set and the function has no positional parameter.
    """

    __slots__ = ("_context", "_least", "_most", "_name", "_named", "_required", "_signature")

    def __init__(
        self, function: Callable[..., Any], *, context: bool = False, name: str | None = None
    ) -> None:
        self._name = name or str(getattr(function, "__name__", type(function).__name__))
        self._signature, self._context = _signature(function, context, self._name)
        # Fast answers: so many positional arguments and no keyword, or these keywords alone.
        self._least, self._most = 0, 2**63
        self._named: frozenset[str] = frozenset()
        self._required: frozenset[str] = frozenset()
        if self._signature is None:
            return
        parameters = self._signature.parameters.values()
        kinds = [parameter.kind for parameter in parameters]
        required = [
            item
            for item in parameters
            if item.default is inspect.Parameter.empty and item.kind not in _VARIADIC
        ]
        self._named = frozenset(item.name for item in parameters if item.kind in _NAMED)
        self._required = frozenset(item.name for item in required)
        self._least = sum(1 for item in required if item.kind in _POSITIONAL)
        if any(item.kind is inspect.Parameter.KEYWORD_ONLY for item in required):
            # No count of positional arguments is enough.
            self._most = -1
        elif inspect.Parameter.VAR_POSITIONAL not in kinds:
            self._most = sum(1 for kind in kinds if kind in _POSITIONAL)

    def check(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Pass when the call fits.

        Args:
            args: positional arguments, without the Context.
            kwargs: keyword arguments.

        Raises:
            BadArgumentsError: it does not; the message names parameters, never values.
        """
        if not kwargs:
            if self._least <= len(args) <= self._most:
                return
        elif not args and self._required <= kwargs.keys() <= self._named:
            return
        if self._signature is None:
            return
        if self._context in kwargs:
            raise BadArgumentsError(
                f"{self._name}() got a value for '{self._context}', which is the Context"
            )
        complaint = _complaint(self._signature, args, kwargs)
        if complaint:
            raise BadArgumentsError(f"{self._name}() {complaint}")

    def complaint(self, results: int, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
        """Say why a call does not fit when so many more arguments stand before its own; empty if it
        does."""
        try:
            self.check([*[None] * results, *args], kwargs)
        except BadArgumentsError as error:
            return str(error)
        return ""

    def fits_with_results(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
        """Tell whether the call may fit when more arguments stand before its own."""
        if self._signature is None:
            return True
        kinds = [item.kind for item in self._signature.parameters.values()]
        most = 1 + sum(1 for kind in kinds if kind in _POSITIONAL)
        return any(not self.complaint(n, args, kwargs) for n in range(1, most + 1))

    def accepts(self, name: str) -> bool:
        """Tell whether there may be an argument of this name."""
        if self._signature is None:
            return True
        parameters = self._signature.parameters.values()
        return name in self._signature.parameters or any(
            item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters
        )

    def arguments(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Give the arguments of a call that fits by their names, defaults included.

        Where Python cannot tell the signature, positional ones are named by their places.
        """
        if self._signature is None:
            return {**{str(place): value for place, value in enumerate(args)}, **kwargs}
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for item in self._signature.parameters.values():
            if item.kind is inspect.Parameter.VAR_KEYWORD:
                found |= found.pop(item.name)
        return found


def bind(
    function: Callable[..., Any],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    *,
    context: bool = False,
) -> None:
    """Check one call; `Signature` does the same for many.

    Raises:
        BadArgumentsError: the call does not fit the function's signature.
        ConfigurationError: `context` is set and the function has no positional parameter.
    """
    Signature(function, context=context).check(args, kwargs)


def _signature(
    function: Callable[..., Any], context: bool, name: str
) -> tuple[inspect.Signature | None, str | None]:
    """Give the signature as callers see it, and the name under which the Context is passed.

    The signature is None when Python cannot tell it (some functions written in C).
    """
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None, None
    parameters = list(signature.parameters.values())
    if not context:
        return signature, None
    if parameters and parameters[0].kind in _POSITIONAL:
        first = parameters[0]
        taken = first.name if first.kind in _NAMED else None
        return signature.replace(parameters=parameters[1:]), taken
    if parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return signature, None
    raise ConfigurationError(
        f"context=True needs a first parameter for the Context; {name}() has none"
    )


def _complaint(
    signature: inspect.Signature, args: Sequence[object], kwargs: Mapping[str, object]
) -> str:
    """Say why a call does not fit: too many, unknown, given twice, missing; empty if it does.

    Not `Signature.bind`: on some versions of Python it lets calls pass that fail when made, as
    `f(first=1)` for `def f(first, /, **others)`.
    """
    parameters = signature.parameters
    kinds = {item.kind for item in parameters.values()}
    positional = [item.name for item in parameters.values() if item.kind in _POSITIONAL]
    if len(args) > len(positional) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        many = "argument" if len(positional) == 1 else "arguments"
        return f"takes at most {len(positional)} positional {many}; got {len(args)}"
    named = [item.name for item in parameters.values() if item.kind in _NAMED]
    filled = positional[: len(args)]
    for key in kwargs:
        if key in named:
            if key in filled:
                return f"got two values for the argument: '{key}'"
        elif inspect.Parameter.VAR_KEYWORD not in kinds:
            if key in positional:
                return f"takes '{key}' only by position"
            return f"got an unexpected argument: {shown(key)}{suggest(key, named)}"
    for item in parameters.values():
        if item.default is not inspect.Parameter.empty or item.kind in _VARIADIC:
            continue
        if item.name not in filled and not (item.name in kwargs and item.name in named):
            return f"missing a required argument: '{item.name}'"
    return ""
