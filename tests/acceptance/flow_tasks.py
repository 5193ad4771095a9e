"""Tasks of groups and flows: they note what they were given, wait at gates, and add more."""

from typing import Any

from pgqueue import Context, Flow, task
from tests.acceptance.tasks import note, pass_gate


@task
def add(*numbers: int) -> int:
    return sum(numbers)


@task
def total(numbers: list[int], more: int = 0) -> int:
    return sum(numbers) + more


@task
def fail(*_args: object) -> None:
    raise ValueError("as it was told to")


@task
def told(what: dict[str, Any], word: str = "") -> None:
    """A callback: note how what it follows has ended."""
    subject = f"group {what['name']}" if "name" in what else f"job {what['result']}"
    note(f"{word or 'told'}: {subject} {what['state']}")


@task
def gated(number: int) -> int:
    pass_gate(number)
    return number


@task(context=True)
def split(context: Context, count: int) -> int:
    """Put more jobs between itself and those that run after it."""
    flow = Flow()
    for number in range(count):
        flow.add(add.job(number))
    flow.enqueue(inside=context)
    return count
