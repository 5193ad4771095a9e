"""What the jobs of the tests run."""

import asyncio
import time
from typing import Any

from django.db import connection

from pgqueue import task
from pgqueue.api.default import default_app
from tests.compat.project.market.models import Order


class MarketError(Exception):
    """Something is wrong in the market."""


class Basket:
    """A class of the application's, which JSON has no form for."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Basket) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    @classmethod
    def total(cls, *prices: float) -> float:
        """Add prices."""
        return sum(prices)

    @staticmethod
    def label(name: str) -> str:
        """Give a label."""
        return f"basket of {name}"


def echo(*args: Any, **kwargs: Any) -> list[Any]:
    """Give what came."""
    return [list(args), kwargs]


def order(number: str) -> int:
    """Write an order."""
    return int(Order.objects.create(number=number).pk)


def order_and_fail(number: str) -> None:
    """Write an order, then fail."""
    Order.objects.create(number=number)
    raise MarketError("out of stock")


def fail(message: str = "out of stock") -> None:
    """Fail."""
    raise MarketError(message)


def fill(*items: Any) -> Basket:
    """Give an object that JSON has no form for."""
    return Basket(*items)


def nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def wait_for(key: int) -> None:
    """Wait until nobody holds an advisory lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def enqueue_another(number: str) -> None:
    """Enqueue a job."""
    default_app().enqueue("old:tests.compat.project.market.tasks.order", [number], queue="old")


@task(queue="old", batch=10)
def together(jobs: list[Any]) -> list[Any]:
    """Give what each job came with, in one call."""
    return [[len(jobs), *job.args] for job in jobs]


def interrupt() -> None:
    """Press Ctrl-C."""
    raise KeyboardInterrupt


async def later(value: Any) -> Any:
    """Give a value, a little later."""
    await asyncio.sleep(0)
    return value


def empty() -> list[Any]:
    """Give an empty list."""
    return []


def hello() -> str:
    """Greet."""
    return "hello"


def drowse() -> None:
    """Take longer than it may, in a statement."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")


def nap() -> None:
    """Take longer than it may, in a system call."""
    time.sleep(60)


def count() -> None:
    """Take longer than it may, in Python."""
    for _ in range(3_000):
        time.sleep(0.02)


@task(queue="old", timeout=1)
async def doze() -> None:
    """Take longer than it may, on the event loop."""
    await asyncio.sleep(60)


def order_and_nap(number: str) -> None:
    """Write an order, then take longer than it may."""
    Order.objects.create(number=number)
    time.sleep(60)
