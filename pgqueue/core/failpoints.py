"""Named places at which a test can make a process die, stall or fail: `PGQUEUE_FAILPOINTS`.

    PGQUEUE_FAILPOINTS="after_claim=kill9:0.01;before_finish=sleep:5"

A place in the code asks `if failpoints.on: failpoints.hit("after_claim")`, so that a process
without the variable pays for reading one global. The names are those of `NAMES`; what a name does
is one of `kill9`, `exit:CODE`, `sleep:SECONDS`, `raise` and `drop`, followed by `:PROBABILITY` if
it is not to happen each time, or by `@N` if it is to happen the N-th time only.
`PGQUEUE_FAILPOINTS_SEED` makes a run repeatable.
"""

import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pgqueue.core.errors import ConfigurationError, shown, suggest

VARIABLE = "PGQUEUE_FAILPOINTS"
SEED = "PGQUEUE_FAILPOINTS_SEED"

#: The places, and when they are passed.
NAMES: Mapping[str, str] = {
    "after_claim": "the supervisor has the reply of a claim, and no child has the jobs yet",
    "before_child_exec": "the supervisor is about to hand a batch to a child",
    "child_before_fn": "a child has begun a job and not called its function yet",
    "child_after_fn": "a child has the result of a function and has told nobody",
    "before_finish": "the supervisor is about to send outcomes",
    "finish_reply_lost": "the server has stored outcomes; drop loses the connection unread",
    "after_finish": "the supervisor knows that outcomes are stored",
    "atomic_before_commit": "a child has finished an atomic job and not committed yet",
    "atomic_after_commit": "a child has committed an atomic job and told nobody",
    "before_beat": "the supervisor is about to give its sign of life",
    "before_listen": "the supervisor has a new listener session that does not listen yet",
    "after_listen": "the listener session listens, and jobs were not looked for since",
    "before_fire": "the leader has planned the schedules that are due and not fired them yet",
    "after_fire": "the schedules that are due are fired, and the leader has told nobody",
    "sweep_mid_batch": "the leader has promoted and rescued, and not expired and pruned yet",
    "migrate_step": "a file of the schema was applied, and its transaction goes on",
}

_ARGUMENTS = {"kill9": 0, "exit": 1, "sleep": 1, "raise": 0, "drop": 0}


class FailpointError(Exception):
    """What `raise` raises."""


class DropConnection(Exception):
    """What `drop` raises, where a connection can be lost; elsewhere it is an error like another."""


@dataclass(frozen=True, slots=True)
class _Action:
    what: str
    argument: float
    probability: float
    #: At which of the times this place is passed; 0 for any.
    time: int = 0


def parse(text: str) -> dict[str, _Action]:
    """Read the value of `PGQUEUE_FAILPOINTS`.

    Raises:
        ConfigurationError: a name or an action is none of those known, or a number is none.
    """
    found: dict[str, _Action] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, action = part.partition("=")
        if name not in NAMES:
            raise ConfigurationError(
                f"{VARIABLE} must name a failpoint; got {shown(name)}{suggest(name, NAMES)}"
            )
        action, _, nth = action.partition("@")
        what, *numbers = action.split(":")
        wanted = _ARGUMENTS.get(what)
        if wanted is None:
            raise ConfigurationError(
                f"failpoint {name} must do one of {', '.join(_ARGUMENTS)}; got {shown(what)}"
            )
        try:
            argument, probability, *more = (*[0.0] * (1 - wanted), *map(float, numbers), 1.0)
        except ValueError:
            argument, probability, more = -1.0, -1.0, []
        if not argument >= 0 or not 0 <= probability <= 1 or more not in ([], [1.0]):
            raise ConfigurationError(
                f"failpoint {name} expects {what}{':NUMBER' * wanted}[:PROBABILITY]; "
                f"got {shown(action)}"
            )
        if nth and (not nth.isascii() or not nth.isdigit() or int(nth) < 1):
            raise ConfigurationError(
                f"failpoint {name} expects a number from 1 after @; got {shown(nth)}"
            )
        found[name] = _Action(what, argument, probability, int(nth or 0))
    return found


_actions = parse(os.environ.get(VARIABLE, ""))
_random = random.Random(os.environ.get(SEED))
os.register_at_fork(after_in_child=lambda: _random.seed(f"{os.environ.get(SEED)} {os.getpid()}"))

_passed: dict[str, int] = {}

#: Whether any failpoint is set in this process.
on: bool = bool(_actions)


def hit(name: str) -> None:
    """Do what is set for this place, if anything is and chance says so.

    Raises:
        FailpointError: with `raise`.
        DropConnection: with `drop`.
    """
    action = _actions.get(name)
    if action is None:
        return
    if action.time:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] != action.time:
            return
    if _random.random() >= action.probability:
        return
    match action.what:
        case "kill9":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(int(action.argument))
        case "sleep":
            time.sleep(action.argument)
        case "drop":
            raise DropConnection(name)
        case _:
            raise FailpointError(f"failpoint {name}")
