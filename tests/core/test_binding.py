"""Tests of binding a call to a task's signature."""

import functools
import inspect
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from pgqueue.core.binding import Signature, bind
from pgqueue.core.errors import BadArgumentsError, ConfigurationError


def send_receipt(order_id: int, copies: int = 1) -> None: ...
def nothing() -> None: ...
def anything(*args: object, **kwargs: object) -> None: ...
def by_place(order_id: int, /, copies: int = 1) -> None: ...
def by_name(*, order_id: int, copies: int = 1) -> None: ...
def some(first: int, *rest: int, last: int = 0) -> None: ...
def named(first: int, /, **others: int) -> None: ...
def mixed(first: int, /, second: int, *, third: int, fourth: int = 4) -> None: ...
async def later(order_id: int) -> None: ...


FUNCTIONS = [send_receipt, nothing, anything, by_place, by_name, some, named, mixed, later]


def _call(function: Callable[..., Any], *args: object, **kwargs: object) -> None:
    made = function(*args, **kwargs)
    if inspect.iscoroutine(made):
        made.close()


def _calls() -> Iterator[tuple[tuple[int, ...], dict[str, int]]]:
    names = ["order_id", "copies", "first", "second", "third", "fourth", "last", "other"]
    for count, one, two in product(range(4), [None, *names], [None, *names]):
        yield tuple(range(count)), {name: 0 for name in (one, two) if name}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_answer_is_the_one_python_would_give(function: Callable[..., Any]) -> None:
    signature = Signature(function)
    for args, kwargs in _calls():
        try:
            _call(function, *args, **kwargs)
        except TypeError:
            with pytest.raises(BadArgumentsError, match=rf"^{function.__name__}\(\) "):
                signature.check(args, kwargs)
        else:
            signature.check(args, kwargs)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_with_context_the_answer_is_as_for_one_argument_more(
    function: Callable[..., Any],
) -> None:
    if function in (nothing, by_name):
        with pytest.raises(ConfigurationError, match="needs a first parameter for the Context"):
            Signature(function, context=True)
        return
    signature = Signature(function, context=True)
    for args, kwargs in _calls():
        try:
            _call(function, object(), *args, **kwargs)
        except TypeError:
            with pytest.raises(BadArgumentsError):
                signature.check(args, kwargs)
        else:
            signature.check(args, kwargs)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "message"),
    [
        (send_receipt, (), {}, "send_receipt() missing a required argument: 'order_id'"),
        (send_receipt, (1, 2, 3), {}, "send_receipt() takes at most 2 positional arguments; got 3"),
        (later, (1, 2), {}, "later() takes at most 1 positional argument; got 2"),
        (nothing, (1,), {}, "nothing() takes at most 0 positional arguments; got 1"),
        (
            send_receipt,
            (1,),
            {"order_id": 2},
            "send_receipt() got two values for the argument: 'order_id'",
        ),
        (
            send_receipt,
            (),
            {"ordre_id": 2},
            "send_receipt() got an unexpected argument: 'ordre_id'; did you mean 'order_id'?",
        ),
        (nothing, (), {"zzz": 2}, "nothing() got an unexpected argument: 'zzz'"),
        (by_place, (), {"order_id": 2}, "by_place() takes 'order_id' only by position"),
        (by_name, (), {}, "by_name() missing a required argument: 'order_id'"),
        (mixed, (1, 2), {}, "mixed() missing a required argument: 'third'"),
        (named, (), {"first": 1}, "named() missing a required argument: 'first'"),
    ],
)
def test_the_message_says_what_is_wrong(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadArgumentsError) as caught:
        bind(function, args, kwargs, context=False)
    assert str(caught.value) == message


def test_the_message_never_shows_a_value() -> None:
    with pytest.raises(BadArgumentsError) as caught:
        bind(nothing, ("swordfish",), {"password": "swordfish"})
    assert "swordfish" not in str(caught.value)


def test_the_context_cannot_be_given_by_the_caller() -> None:
    def with_context(context: object, path: str, **more: int) -> None: ...

    signature = Signature(with_context, context=True)
    signature.check(("a",), {})
    with pytest.raises(BadArgumentsError, match="got a value for 'context', which is the Context"):
        signature.check(("a",), {"context": 1})
    with pytest.raises(BadArgumentsError, match="missing a required argument: 'path'"):
        signature.check((), {})


def test_a_name_for_errors_can_be_given() -> None:
    with pytest.raises(BadArgumentsError, match=r"^mail\.receipt\(\) missing"):
        Signature(send_receipt, name="mail.receipt").check((), {})


def test_a_function_whose_signature_nobody_knows_takes_anything() -> None:
    class Opaque:
        __signature__ = "unknown"

        def __call__(self, *args: object) -> None: ...

    Signature(Opaque()).check((1, 2), {"x": 3})
    Signature(Opaque(), context=True).check((), {})


def test_partials_methods_and_classes_are_callables_too() -> None:
    Signature(functools.partial(send_receipt, 1)).check((), {"copies": 2})
    Signature("a".join).check((["x"],), {})
    with pytest.raises(BadArgumentsError, match=r"^partial\(\) takes at most 1"):
        Signature(functools.partial(send_receipt, 1)).check((1, 2), {})
