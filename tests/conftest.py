"""The fixtures of all tests; each lives in a module of `tests/fixtures`."""

pytest_plugins = [
    "tests.fixtures.databases",
    "tests.fixtures.workers",
]
