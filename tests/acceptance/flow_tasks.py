"""Tasks of groups and flows: they note what they were given, wait at gates, and add more."""

from typing import Any

from pgqueue import Context, Flow, default_app, task
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
    query = f"SELECT child_id FROM pgqueue.job_dependencies WHERE parent_id = {context.job_id}"
    behind = [row[0] for row in default_app().clients.sync.run(_rows(query))]
    flow = Flow()
    for number in range(count):
        flow.add(add.job(number))
    flow.enqueue(group=context.group_id, before=behind)
    return count


def _rows(query: str) -> Any:
    from pgqueue.db.statements.base import Statement

    return Statement(text=query, params={}, decode=list)  # type: ignore[arg-type]
