"""What the tests of the facade share."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.databases import Database

MARKET = "tests.compat.project.market"
NOTE = f"{MARKET}.future.note"


@pytest.fixture
def future(market: Database) -> Any:
    """The package, in a project."""
    from pgqueue.compat import django_future
    from tests.compat.project.market.future import calls

    calls.clear()
    return django_future


@pytest.fixture
def calls(future: Any) -> list[Any]:
    """What the handlers were called with."""
    from tests.compat.project.market.future import calls

    return calls


@pytest.fixture
def new_order(future: Any) -> Callable[[str], Any]:
    """Make an order."""
    from tests.compat.project.market.models import Order

    return lambda number: Order.objects.create(number=number)


def statuses() -> list[str]:
    """Give the statuses of all jobs, by id."""
    from pgqueue.compat.django_future.models import ScheduledJob

    return list(ScheduledJob.objects.order_by("id").values_list("status", flat=True))


def seconds(value: Any, other: Any) -> float:
    """Give how far two times are from each other."""
    found: dt.timedelta = value - other
    return abs(found.total_seconds())
