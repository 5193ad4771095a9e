"""The fixtures of all tests; each lives in a module of `tests/fixtures`."""

import os
import signal
import sys

from hypothesis import HealthCheck, settings

# How long examples take on a busy machine says nothing about them.
settings.register_profile("pgqueue", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pgqueue")

# The tests start a thousand Pythons, and to compile all modules is half of what a start takes.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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
