"""Failpoints: what the variable says, and what a process does with it."""

import os
import subprocess
import sys

import pytest

from pgqueue.core import failpoints
from pgqueue.core.errors import ConfigurationError
from tests.helpers import ROOT

#: A package of the same name, since pgqueue/__init__.py imports a hundred modules more.
ALONE = f"""
import sys, types
package = sys.modules["pgqueue"] = types.ModuleType("pgqueue")
package.__path__ = [{os.fspath(ROOT / "pgqueue")!r}]
"""
GO = "from pgqueue.core import failpoints as f; f.on and f.hit('after_claim'); print('went on')"


def process(value: str | None, code: str = GO) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PGQUEUE_FAILPOINTS_SEED": "7"}
    env.pop(failpoints.VARIABLE, None)
    if value is not None:
        env[failpoints.VARIABLE] = value
    return subprocess.run(
        [sys.executable, "-c", ALONE + code], env=env, capture_output=True, text=True, timeout=240
    )


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (None, 0, "went on\n"),
        ("before_beat=kill9", 0, "went on\n"),
        ("after_claim=kill9:0", 0, "went on\n"),
        ("after_claim=sleep:0.001;before_beat=kill9", 0, "went on\n"),
        ("after_claim=kill9", -9, ""),
        ("after_claim=exit:7", 7, ""),
        ("after_claim=kill9@1", -9, ""),
        ("after_claim=kill9@2", 0, "went on\n"),
    ],
)
def test_what_happens_at_a_place(value: str | None, code: int, said: str) -> None:
    ended = process(value)
    assert (ended.returncode, ended.stdout) == (code, said)


@pytest.mark.parametrize(("action", "error"), [("raise", "FailpointError"), ("drop", "DropConn")])
def test_errors(action: str, error: str) -> None:
    ended = process(f"after_claim={action}")
    assert ended.returncode == 1
    assert error in ended.stderr


def test_chance_is_repeatable() -> None:
    code = """
from pgqueue.core import failpoints as f
def happens():
    try: f.hit("after_claim")
    except f.FailpointError: return True
    return False
print(sum(happens() for _ in range(1000)))
"""
    one, two = process("after_claim=raise:0.3", code), process("after_claim=raise:0.3", code)
    assert one.stdout == two.stdout
    assert 200 < int(one.stdout) < 400


def test_the_nth_time() -> None:
    code = """
from pgqueue.core import failpoints as f
for n in range(1, 6):
    try: f.hit("after_claim")
    except f.FailpointError: print(n)
"""
    assert process("after_claim=raise@3", code).stdout == "3\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("after_clam=kill9", "did you mean 'after_claim'"),
        ("after_claim=boom", "must do one of kill9, exit, sleep, raise, drop; got 'boom'"),
        ("after_claim", "must do one of"),
        ("after_claim=sleep", "expects sleep:NUMBER"),
        ("after_claim=sleep:x", "expects sleep:NUMBER"),
        ("after_claim=kill9:2", "expects kill9"),
        ("after_claim=kill9:0.5:0.5", "expects kill9"),
        ("after_claim=sleep:nan", "expects sleep"),
        ("after_claim=kill9@0", "expects a number from 1 after @; got '0'"),
        ("after_claim=kill9@x", "expects a number from 1 after @; got 'x'"),
    ],
)
def test_wrong_values(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        failpoints.parse(text)


def test_off_by_default() -> None:
    assert process(None, "from pgqueue.core import failpoints as f; print(f.on)").stdout == (
        "False\n"
    )
