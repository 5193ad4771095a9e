"""The facade in the project of these tests, and a cluster that works off its queue at once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fixtures.databases import Database

Work = Callable[..., Any]


@pytest.fixture
def work(market: Database) -> Iterator[Work]:
    """Run all tasks that are due, in this process; gives what became of each."""
    from pgqueue.compat import here

    def run(queue: str = "default", **options: Any) -> Any:
        found: list[Any] = []
        while ran := here.run([queue], **options):
            found += ran
        return found

    return run
