"""Write docs/reference/python.md from the signatures and docstrings of the public names."""

import ast
import inspect
import re
import textwrap
from enum import Enum
from typing import Any, Final

import pgqueue
from pgqueue.api.queues import Queues
from pgqueue.api.schedules import Schedules
from pgqueue.core.options import EnqueueOptions, TaskOptions
from pgqueue.db.statements.stats import Problem

_HEAD: Final = """\
# Python reference

Import everything from `pgqueue`; what stands here is what there is, everything else may change.

```python
from pgqueue import task


@task(queue="mail", max_attempts=5)
def send_receipt(order_id: int) -> str:
    return f"sent {order_id}"


job = send_receipt.using(run_at="5m").enqueue(42)
print(job.state())  # scheduled
```

This page is generated from signatures and docstrings.
Methods whose name begins with `a` (`aenqueue`, `astate` …) are coroutines, and else the same.
A *duration* is a number of seconds, a `timedelta`, or an offset such as `"30s"`, `"5m"`, `"3h"`,
`"1d12h"` or `"2w"`; a *time* is a duration from now, or an aware `datetime`.
"""

#: Where each public name is described.
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Tasks": ("task", "Task", "BoundTask", "JobSpec"),
    "Many jobs": ("enqueue_many", "aenqueue_many", "copy_many", "acopy_many"),
    "Schedules": (
        "schedule",
        "aschedule",
        "Schedule",
        "schedules",
        "Recurrence",
        "every",
        "cron",
        "rrule",
        "ScheduleInfo",
        "RunInfo",
    ),
    "The app": ("PgQueue", "default_app", "set_default_app", "queues"),
    "Jobs": ("JobHandle", "Job", "FailedAttempt", "JobState", "QueueInfo", "WorkerInfo"),
    "Inside a task": ("Context", "Retry", "Snooze", "Cancel", "JobTimeout"),
    "Errors": tuple(
        name
        for name in pgqueue.__all__
        if isinstance(getattr(pgqueue, name), type)
        and issubclass(getattr(pgqueue, name), pgqueue.PgQueueError)
    ),
}
#: What is described beside them: objects that the public names take or give.
_BESIDE: Final[dict[str, dict[str, Any]]] = {
    "Tasks": {"Options of a task": TaskOptions, "Options of a job": EnqueueOptions},
    "The app": {"What must not be": Problem},
}
#: Public in Python's sense only.
_LEFT_OUT: Final = frozenset({"clients"})
_SECTIONS: Final = ("Args", "Returns", "Raises", "Attributes")


def names() -> set[str]:
    """Give the public names that the page describes."""
    return {name for group in GROUPS.values() for name in group}


def write() -> str:
    """Write the page."""
    parts = [_HEAD]
    for title, members in GROUPS.items():
        parts.append(f"## {title}\n")
        if title == "Errors":
            parts.append("Which of them come from the server is told in [errors](errors.md).\n")
        parts += [_describe(name, getattr(pgqueue, name)) for name in members]
        parts += [
            f"### {heading}\n\n{_doc(found)}{_fields(found)}"
            for heading, found in _BESIDE.get(title, {}).items()
        ]
    return "\n".join(parts)


def _describe(name: str, found: Any) -> str:
    if isinstance(found, Queues | Schedules):
        return f"### {name}\n\nThe {name} of the default app.\n\n{_methods(name, type(found))}"
    if not isinstance(found, type):
        return f"### {name}\n\n```text\n{_signature(name, found)}\n```\n\n{_doc(found)}"
    if issubclass(found, Enum):
        members = ", ".join(f"`{member.value}`" for member in found)
        return f"### {name}\n\n{_doc(found)}\nMembers: {members}; see [states](states.md).\n"
    if issubclass(found, Exception):
        made = found.__dict__.get("__init__")
        asked = name in GROUPS["Inside a task"] and made is not None
        call = f"```text\n{_signature(name, made)}\n```\n\n" if asked else ""
        bases = ", ".join(f"`{base}`" for base in _public_bases(found))
        return f"### {name}\n\n{call}{_doc(found)}\nA subclass of {bases}.\n"
    made = found.__dict__.get("__init__")
    signed = inspect.isfunction(made) and made.__qualname__ == f"{name}.__init__"
    shown = name == "PgQueue" and signed
    call = f"```text\n{_signature(name, made)}\n```\n\n" if shown else ""
    return f"### {name}\n\n{call}{_doc(found)}{_fields(found)}{_methods(name, found)}"


def _public_bases(found: type) -> list[str]:
    names: list[str] = []
    for base in found.__bases__:
        is_public = base.__module__ == "builtins" or base.__name__ in pgqueue.__all__
        names += [base.__name__] if is_public else _public_bases(base)
    return names


def _fields(found: type) -> str:
    """List the fields of a dataclass that its docstring leaves out, being plain."""
    fields = getattr(found, "__dataclass_fields__", {})
    told = inspect.getdoc(found) or ""
    names = [
        name
        for name in fields
        if not name.startswith("_") and not re.search(rf"^    {name}: ", told, re.MULTILINE)
    ]
    return f"\nFurther attributes: {', '.join(f'`{name}`' for name in names)}.\n" if names else ""


def _methods(name: str, found: type) -> str:
    parts = []
    owner = name[0].lower() + name[1:] if isinstance(getattr(pgqueue, name), type) else name
    owner = {"pgQueue": "app", "jobHandle": "job", "boundTask": "bound"}.get(owner, owner)
    for base in [found, *(b for b in found.__bases__ if b.__module__.startswith("pgqueue"))]:
        for attribute, value in base.__dict__.items():
            if attribute.startswith("_") or attribute in _LEFT_OUT:
                continue
            if isinstance(value, property) and value.fget is not None:
                parts.append(f"#### {owner}.{attribute}\n\n{_doc(value.fget)}")
            elif inspect.isfunction(value):
                call = _signature(f"{owner}.{attribute}", value)
                parts.append(f"#### {owner}.{attribute}()\n\n```text\n{call}\n```\n\n{_doc(value)}")
    return "\n" + "\n".join(parts) if parts else ""


def _signature(name: str, function: Any) -> str:
    """Give a call as its source has it, so that it is the same under every version of Python."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    arguments = definition.args
    for group in (arguments.posonlyargs, arguments.args):
        if group and group[0].arg == "self":
            del group[0]
    given = [_spaced(part) for part in _split(ast.unparse(arguments))]
    prefix = "await " if isinstance(definition, ast.AsyncFunctionDef) else ""
    result = "" if definition.returns is None else f" → {ast.unparse(definition.returns)}"
    call = f"{prefix}{name}({', '.join(given)})"
    if definition.name == "__init__":
        result = ""
    if len(call + result) > 92:
        inner = ",\n    ".join(given)
        call = f"{prefix}{name}(\n    {inner},\n)"
    return (call + result).replace("'", '"')


def _spaced(part: str) -> str:
    """Write a parameter as a formatter would: spaces around `=` after an annotation."""
    return part.replace("=", " = ", 1) if ": " in part.partition("=")[0] else part


def _split(given: str) -> list[str]:
    depth, parts, start = 0, [], 0
    for place, letter in enumerate(given):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append(given[start:place].strip())
            start = place + 1
    return [*parts, given[start:].strip()]


def _doc(found: Any) -> str:
    """Give a docstring as Markdown: its sections become lists."""
    text = inspect.getdoc(found) or ""
    lines: list[str] = []
    section = ""
    for line in text.split("\n"):
        title = line.removesuffix(":")
        if line.endswith(":") and title in _SECTIONS:
            section = title
            lines.append(f"**{title}**\n")
        elif section and line.startswith("    ") and not line.startswith("     "):
            label, colon, rest = line.strip().partition(": ")
            one_name = colon and " " not in label
            lines.append(f"- `{label}`: {rest}" if one_name else f"- {line.strip()}")
        elif section and line.startswith("     "):
            lines.append(f"  {line.strip()}")
        else:
            section = "" if line.strip() else section
            lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).strip()).replace("``", "`") + "\n"
