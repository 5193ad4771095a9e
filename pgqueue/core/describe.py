"""Turn any exception into three short strings that PostgreSQL can store.

An exception is a stranger's object: its `__str__` may raise or answer with 50 MB, its chain may
be endless, its group huge. So everything is asked once, cut before it is copied, and bounded in
number; whatever still goes wrong ends in a fallback. Local variables are never looked at.
"""

import itertools
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Final

DEFAULT_LIMIT: Final = 16 * 1024

_LEAST = 100
_KIND_LIMIT = 200
_LINES = 2_000
_LINE_LIMIT = 1_000
_NOTES = 5
_CHAIN_NEWEST = 6
_CHAIN_OLDEST = 4
_CHAIN_WALKED = 10_000
_FRAMES_OUTER = 10
_FRAMES_INNER = 30
_FRAMES_WALKED = 1_000_000
_GROUP_MEMBERS = 5
_GROUP_DEPTH = 3

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """Say what went wrong in an attempt, in strings that can be stored.

    Attributes:
        kind: the exception's class: `ValueError`, `myapp.errors.Broken`.
        message: what it says; its middle is left out when it is long.
        traceback: as Python prints it, with chain and group, shortened; may be empty.
    """

    kind: str
    message: str
    traceback: str = ""


def describe_exception(exc: BaseException, limit: int = DEFAULT_LIMIT) -> ErrorInfo:
    """Describe an exception within bounds; never raises.

    Args:
        exc: any exception, however hostile.
        limit: most bytes (UTF-8) of the traceback; the message gets a quarter of it.

    Returns:
        Kind, message and traceback without NUL (U+2400 instead) and without lone surrogates
        (escaped with a backslash). Head and tail of what is long are kept.
    """
    try:
        kind = _kind(exc)
    except BaseException:
        kind = "Exception"
    try:
        message = storable(_text(exc), max(limit // 4, _LEAST))
    except BaseException:
        message = "<the exception could not be described>"
    try:
        traceback = storable("\n".join(_all_lines(exc, kind, message)), max(limit, _LEAST))
    except BaseException:
        traceback = "<the traceback could not be written>"
    return ErrorInfo(kind=kind, message=message, traceback=traceback)


def storable(text: str, limit: int) -> str:
    """Make a text that PostgreSQL can store, of at most `limit` bytes, keeping head and tail.

    NUL becomes U+2400, lone surrogates are escaped with a backslash. Limits below 100 bytes may
    be overrun by the words that say how much was left out.
    """
    size = str.__len__(text)
    if size > limit:
        # Cut by characters before anything is copied: a character is at least one byte.
        half = limit // 2
        head = str.__getitem__(text, slice(0, half))
        text = head + str.__getitem__(text, slice(size - half, None))
    plain = str.__str__(text).replace("\0", "\N{SYMBOL FOR NULL}")
    raw = plain.encode("utf-8", "backslashreplace")
    if size <= limit and len(raw) <= limit:
        return raw.decode()
    mark = f" … (shortened from {size} characters) … "
    half = max(limit - len(mark.encode()), 0) // 2
    end = raw[len(raw) - half :].decode("utf-8", "ignore")
    return raw[:half].decode("utf-8", "ignore") + mark + end


def _kind(exc: BaseException) -> str:
    kind = type(exc)
    # Looked up on `type`, so that a metaclass cannot answer.
    name = type.__dict__["__qualname__"].__get__(kind)
    module = type.__dict__["__module__"].__get__(kind)
    if isinstance(module, str) and module not in ("builtins", "__main__"):
        name = f"{module}.{name}"
    return storable(name, _KIND_LIMIT)


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except BaseException as error:
        return f"<its __str__ raised {_kind(error)}>"


def _all_lines(exc: BaseException, kind: str, message: str) -> list[str]:
    lines = _chain_lines(exc, 0, {id(exc): message})
    # The lines are made one by one, so the bound holds for the work as well.
    shown = list(itertools.islice(lines, _LINES))
    if next(lines, None) is not None:
        shown += ["… more left out …", f"{kind}: {storable(message, _LINE_LIMIT)}"]
    return shown


def _chain_lines(exc: BaseException, depth: int, told: dict[int, str]) -> Iterator[str]:
    """Yield the lines of an exception and what led to it, the oldest first.

    Args:
        exc: the newest exception.
        depth: how many groups it stands in.
        told: messages already asked for, by the exception's id.
    """
    chain, left_out = _chain(exc)
    for number, (link, joint) in enumerate(chain):
        if left_out and number == _CHAIN_OLDEST:
            yield f"\n… {left_out} exceptions of the chain left out …\n"
        try:
            yield from _exception_lines(link, depth, told)
        except GeneratorExit:
            raise
        except BaseException:
            yield "<an exception that could not be described>"
        if joint:
            yield joint


def _chain(exc: BaseException) -> tuple[list[tuple[BaseException, str]], int]:
    """Give the chain from its root to `exc`, each with the words that join it to the next."""
    links: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    current: BaseException | None = exc
    joint = ""
    while current is not None and id(current) not in seen and len(links) < _CHAIN_WALKED:
        seen.add(id(current))
        links.append((current, joint))
        cause: object = current.__cause__
        context: object = current.__context__
        if isinstance(cause, BaseException):
            current, joint = cause, _CAUSE
        elif isinstance(context, BaseException) and not current.__suppress_context__:
            current, joint = context, _CONTEXT
        else:
            current = None
    links.reverse()
    left_out = len(links) - _CHAIN_NEWEST - _CHAIN_OLDEST
    if left_out <= 0:
        return links, 0
    return links[:_CHAIN_OLDEST] + links[-_CHAIN_NEWEST:], left_out


def _exception_lines(exc: BaseException, depth: int, told: dict[int, str]) -> Iterator[str]:
    if exc.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        yield from _frame_lines(exc.__traceback__)
    text = storable(told.get(id(exc)) or _text(exc), _LINE_LIMIT)
    yield f"{_kind(exc)}: {text}" if text else _kind(exc)
    yield from _note_lines(exc)
    if isinstance(exc, BaseExceptionGroup):
        yield from _group_lines(exc, depth, told)


def _note_lines(exc: BaseException) -> Iterator[str]:
    notes = getattr(exc, "__notes__", None)
    if type(notes) is not list:
        return
    for note in notes[:_NOTES]:
        if isinstance(note, str):
            yield storable(note, _LINE_LIMIT)
    if len(notes) > _NOTES:
        yield f"… {len(notes) - _NOTES} notes left out …"


def _group_lines(
    group: BaseExceptionGroup[BaseException], depth: int, told: dict[int, str]
) -> Iterator[str]:
    members = group.exceptions
    if depth >= _GROUP_DEPTH:
        yield f"  … {len(members)} exceptions inside left out …"
        return
    for number, member in enumerate(members[:_GROUP_MEMBERS], 1):
        yield f"  +---- {number} of {len(members)} ----"
        for block in _chain_lines(member, depth + 1, told):
            for line in block.split("\n"):
                yield f"  | {line}"
    if len(members) > _GROUP_MEMBERS:
        yield f"  +---- {len(members) - _GROUP_MEMBERS} more left out ----"


def _frame_lines(traceback: TracebackType) -> Iterator[str]:
    total = sum(1 for _ in _frames(traceback))
    if total <= _FRAMES_OUTER + _FRAMES_INNER:
        for code, line in _frames(traceback):
            yield from _one_frame(code, line)
        return
    for code, line in itertools.islice(_frames(traceback), _FRAMES_OUTER):
        yield from _one_frame(code, line)
    yield f"  … {total - _FRAMES_OUTER - _FRAMES_INNER} frames left out …"
    for code, line in itertools.islice(_frames(traceback), total - _FRAMES_INNER, total):
        yield from _one_frame(code, line)


def _frames(traceback: TracebackType) -> Iterator[tuple[CodeType, int | None]]:
    current: TracebackType | None = traceback
    for _ in range(_FRAMES_WALKED):
        if current is None:
            return
        yield current.tb_frame.f_code, current.tb_lineno
        current = current.tb_next


def _one_frame(code: CodeType, line: int | None) -> Iterator[str]:
    yield f'  File "{_short(code.co_filename)}", line {line}, in {_short(code.co_qualname)}'
    source = linecache.getline(code.co_filename, line).strip() if line else ""
    if source:
        yield f"    {_short(source)}"


def _short(text: str) -> str:
    return storable(text, _LINE_LIMIT)
