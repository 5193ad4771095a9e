"""Tests of describing exceptions, hostile ones above all."""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgqueue.core.describe import ErrorInfo, describe_exception, storable

LIMIT = 16 * 1024


class _Hostile(Exception):
    """Raise from every question that is asked of it."""

    answer: BaseException = ValueError("hidden")

    def __str__(self) -> str:
        raise self.answer

    def __repr__(self) -> str:
        raise self.answer

    def __getattr__(self, name: str) -> object:
        raise self.answer


class _Interrupting(_Hostile):
    answer = KeyboardInterrupt()


class _Leaving(_Hostile):
    answer = SystemExit(3)


class _NotText(Exception):
    def __str__(self) -> str:
        return 42  # type: ignore[return-value]


class _Recursing(Exception):
    def __str__(self) -> str:
        return str(self)


class _TextOfItsOwn(str):
    def __getitem__(self, key: object) -> str:
        raise AssertionError

    def __len__(self) -> int:
        raise AssertionError

    def replace(self, *args: object) -> str:  # type: ignore[override]
        raise AssertionError

    def encode(self, *args: object) -> bytes:  # type: ignore[override]
        raise AssertionError


class _StrangeText(Exception):
    def __str__(self) -> str:
        return _TextOfItsOwn("strange")


class _Meta(type):
    def __getattribute__(cls, name: str) -> object:
        raise RuntimeError


class _HostileClass(Exception, metaclass=_Meta):
    pass


class _HostileChain(Exception):
    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        raise SystemExit

    @property
    def __traceback__(self) -> None:  # type: ignore[override]
        raise SystemExit


def _raised(exc: BaseException) -> BaseException:
    try:
        raise exc
    except BaseException as error:
        return error


def _check(info: ErrorInfo) -> ErrorInfo:
    for text in (info.kind, info.message, info.traceback):
        assert "\0" not in text
        text.encode()
    assert info.kind
    assert len(info.message.encode()) <= LIMIT // 4
    assert len(info.traceback.encode()) <= LIMIT
    return info


def test_a_plain_exception_is_described_as_python_prints_it() -> None:
    info = _check(describe_exception(_raised(ValueError("no such order"))))
    assert (info.kind, info.message) == ("ValueError", "no such order")
    lines = info.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in _raised")
    assert lines[2] == "    raise exc"
    assert lines[-1] == "ValueError: no such order"


def test_the_class_is_named_with_its_module() -> None:
    assert describe_exception(_NotText()).kind == f"{__name__}._NotText"


def test_an_exception_never_raised_has_no_frames() -> None:
    assert describe_exception(ValueError()) == ErrorInfo(
        kind="ValueError", message="", traceback="ValueError"
    )


def test_local_variables_do_not_show() -> None:
    def work(password: str) -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused") as caught:
        work("swordfish" + "!")
    assert "swordfish!" not in describe_exception(caught.value).traceback


# Made by name: pytest itself asks a parameter for more than a hostile one answers.
HOSTILE: dict[str, Callable[[], BaseException]] = {
    "str raises": _Hostile,
    "str interrupts": _Interrupting,
    "str leaves": _Leaving,
    "str is no text": _NotText,
    "str recurses": _Recursing,
    "str subclass": _StrangeText,
    "class": _HostileClass,
    "chain": _HostileChain,
    "argument": lambda: KeyError(_Hostile()),
    "leaving argument": lambda: KeyError(_Leaving()),
    "member": lambda: ExceptionGroup("group", [_Hostile(), ValueError("good")]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_exceptions_are_described(name: str) -> None:
    exc = HOSTILE[name]()
    try:
        raise ValueError("before") from exc
    except ValueError as error:
        _check(describe_exception(error))
    _check(describe_exception(exc))
    _check(describe_exception(_raised(exc)))


def test_what_a_str_raised_is_named() -> None:
    assert describe_exception(_Hostile()).message == "<its __str__ raised ValueError>"
    assert describe_exception(_Interrupting()).message == "<its __str__ raised KeyboardInterrupt>"
    assert describe_exception(_StrangeText()).message == "strange"


def test_a_good_exception_beside_a_hostile_one_is_still_shown() -> None:
    traceback = describe_exception(ExceptionGroup("group", [_Hostile(), ValueError("good")]))
    assert "ValueError: good" in traceback.traceback


@pytest.mark.parametrize("letter", ["x", "é", "\0", "\ud800", "\N{OK HAND SIGN}"])
def test_a_huge_message_costs_little(letter: str) -> None:
    exc = _raised(ValueError(letter * 50_000_000))
    tracemalloc.start()
    try:
        info = describe_exception(exc)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    _check(info)
    assert "shortened from 50000000 characters" in info.message
    assert info.traceback.splitlines()[-1].startswith("ValueError: ")
    assert peak < 2_000_000


def test_head_and_tail_of_a_long_message_are_kept() -> None:
    info = _check(describe_exception(ValueError("begin" + "x" * 100_000 + "end")))
    assert info.message.startswith("begin")
    assert info.message.endswith("end")


def test_nul_and_surrogates_become_storable() -> None:
    info = describe_exception(_raised(ValueError("a\0b\udc80c")))
    assert info.message == "a\N{SYMBOL FOR NULL}b\\udc80c"
    assert info.traceback.endswith("ValueError: a\N{SYMBOL FOR NULL}b\\udc80c")


def test_cause_and_context_are_told_apart() -> None:
    def work(how: str) -> None:
        try:
            raise KeyError("root")
        except KeyError as error:
            match how:
                case "asked":
                    raise ValueError(how) from error
                case "alone":
                    raise ValueError(how) from None
                case _:
                    raise ValueError(how)  # noqa: B904

    with pytest.raises(ValueError, match="asked") as caught:
        work("asked")
    traceback = describe_exception(caught.value).traceback
    assert traceback.index("KeyError") < traceback.index("direct cause") < traceback.index("asked")

    with pytest.raises(ValueError, match="by accident") as caught:
        work("by accident")
    assert "During handling of the above" in describe_exception(caught.value).traceback

    with pytest.raises(ValueError, match="alone") as caught:
        work("alone")
    assert "KeyError" not in describe_exception(caught.value).traceback


def test_of_a_long_chain_the_root_and_the_newest_are_kept() -> None:
    exc: Exception = ValueError("link 0")
    for number in range(1, 3_000):
        newer = ValueError(f"link {number}")
        newer.__context__ = exc
        exc = newer
    traceback = _check(describe_exception(exc)).traceback
    assert traceback.startswith("ValueError: link 0\n")
    assert traceback.endswith("ValueError: link 2999")
    assert "2990 exceptions of the chain left out" in traceback
    assert traceback.count("ValueError: link") == 10


def test_a_chain_in_a_circle_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    assert describe_exception(first).traceback.count("ValueError") == 2


def test_a_large_group_is_shortened() -> None:
    group = ExceptionGroup("many", [ValueError(str(number)) for number in range(10_000)])
    info = _check(describe_exception(group))
    assert info.message == "many (10000 sub-exceptions)"
    assert "+---- 1 of 10000 ----" in info.traceback
    assert "9995 more left out" in info.traceback


def test_a_deep_group_is_shortened() -> None:
    group = ExceptionGroup("inner", [ValueError("leaf")])
    for _ in range(3_000):
        group = ExceptionGroup("outer", [group])
    _check(describe_exception(group))


def test_a_tree_of_chains_and_groups_is_bounded() -> None:
    def tree(depth: int) -> Exception:
        exc: Exception = ValueError("leaf")
        for _ in range(8):
            newer = ExceptionGroup("node", [tree(depth - 1)] * 6) if depth else ValueError("leaf")
            newer.__context__ = exc
            exc = newer
        return exc

    info = _check(describe_exception(tree(3)))
    assert "… more left out …" in info.traceback
    assert info.traceback.splitlines()[-1].startswith("ExceptionGroup: node")


def test_of_a_recursion_error_the_ends_are_kept() -> None:
    def deeper(number: int) -> int:
        return deeper(number + 1) + 1

    with pytest.raises(RecursionError) as caught:
        deeper(0)
    info = _check(describe_exception(caught.value))
    assert "frames left out" in info.traceback
    assert "RecursionError: maximum recursion depth exceeded" in info.traceback.splitlines()[-1]


def test_notes_are_shown_and_bounded() -> None:
    exc = ValueError("no")
    for number in range(8):
        exc.add_note(f"note {number}")
    lines = describe_exception(exc).traceback.splitlines()
    assert lines[:2] == ["ValueError: no", "note 0"]
    assert lines[-1] == "… 3 notes left out …"
    exc.__notes__ = 42  # type: ignore[assignment]
    assert describe_exception(exc).traceback == "ValueError: no"
    exc.__notes__ = [42, "text"]  # type: ignore[list-item]
    assert describe_exception(exc).traceback == "ValueError: no\ntext"


def test_a_smaller_limit_is_kept() -> None:
    info = describe_exception(_raised(ValueError("x" * 10_000)), limit=1_000)
    assert len(info.message.encode()) <= 250
    assert len(info.traceback.encode()) <= 1_000


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec=None), max_size=300), st.integers(100, 400))
def test_any_text_becomes_storable_within_the_limit(text: str, limit: int) -> None:
    made = storable(text, limit)
    assert len(made.encode()) <= limit
    assert "\0" not in made
