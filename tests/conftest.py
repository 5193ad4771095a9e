"""The fixtures of all tests; each lives in a module of `tests/fixtures`."""

import gc
import os
import signal
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# How long examples take on a busy machine says nothing about them. They are the same in each run:
# who looks for others does so on purpose, with many of them (PGQUEUE_STATEFUL_EXAMPLES) or with
# PGQUEUE_OTHER_EXAMPLES=1, and not while something else is tried.
settings.register_profile(
    "pgqueue",
    deadline=None,
    derandomize=not {"PGQUEUE_STATEFUL_EXAMPLES", "PGQUEUE_OTHER_EXAMPLES"} & os.environ.keys(),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("pgqueue")

# The tests start a thousand Pythons, and to compile all modules is half of what a start takes.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script, which ignores Ctrl-C and would have every command that
    # the tests start ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Tests of half a minute each, most of which they wait.
_LONG = ("tests/faults/test_smoke.py::", "tests/faults/test_mutants.py::test_mutants_of_the_worker")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long tests begin first, in every other process: at the end nobody waits for them alone,
    and beside them others work."""
    found = [item for item in items if item.nodeid.startswith(_LONG)]
    others = [item for item in items if not item.nodeid.startswith(_LONG)]
    # Each process begins with the first of its share of the list.
    begins = max(1, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) // 2)
    items.clear()
    for number in range(begins):
        items += found[number::begins]
        items += others[number * len(others) // begins : (number + 1) * len(others) // begins]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, a fifth of which it would take: all of it
    stays, and no collection to come need look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# Those that import from others come after them.
pytest_plugins = [
    "tests.fixtures.databases",
    "tests.fixtures.workers",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.apps",
]
