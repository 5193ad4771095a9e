"""The fixtures of all tests; each lives in a module of `tests/fixtures`."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script, which ignores Ctrl-C and would have every command that
    # the tests start ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Those that import from others come after them.
pytest_plugins = [
    "tests.fixtures.databases",
    "tests.fixtures.workers",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.apps",
]
