"""The fixtures of all tests; each lives in a module of `tests/fixtures`."""

# Those that import from others come after them.
pytest_plugins = [
    "tests.fixtures.databases",
    "tests.fixtures.workers",
    "tests.fixtures.apps",
]
