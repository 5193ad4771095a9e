"""Feed each kind of poison to a real worker, with jobs of a harmless task around it, and judge.

A kind is survived when the worker is the same process afterwards, every harmless job has succeeded
(interrupted at most where the poison took its process along, which its counters say), and the
poison has ended as its row says, within the bound.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.support import Jobs
from tests.faults.corpus import deadly
from tests.faults.corpus.rig import Verdict, working
from tests.fixtures.workers import RunningWorker
from tests.helpers import eventually

APP = "tests.faults.corpus.poison_app"
_PREFIX = "tests.faults.corpus."
_SIBLINGS = (_PREFIX + "littering.sibling", _PREFIX + "littering.async_sibling")
_LOOK_AROUND = _PREFIX + "littering.look_around"
#: Seconds within which a kind must be over; many times what it takes.
BOUND = 90.0
#: Seconds between two deadly jobs, so that none is there when another dies.
_APART = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Poison:
    """One kind.

    Attributes:
        task: module and function.
        state: how the job ends.
        error: what its error line, or that of one of its attempts, must match.
        attempts: how many there must have been.
        args: the task's.
        alone: whether no sibling may run in the same process at the same moment.
        may_crash: whether it may as well end its process each time, until it is given up.
    """

    task: str
    state: str = "succeeded"
    error: str = ""
    attempts: int = 1
    args: tuple[object, ...] = ()
    alone: bool = False
    may_crash: bool = False

    @property
    def name(self) -> str:
        return self.task.partition(".")[2]

    @property
    def expected(self) -> str:
        return f"{self.state} after {self.attempts}" + (f", {self.error}" if self.error else "")


def _crash(task: str, how: str, *args: object) -> Poison:
    return Poison(task=f"deadly.{task}", state="failed", error=how, attempts=3, args=args)


def _hang(task: str) -> Poison:
    return Poison(
        task=f"deadly.{task}", state="failed", error=r"JobTimeout: the limit of 1 seconds"
    )


def _fail(task: str, error: str, *, alone: bool = False, may_crash: bool = False) -> Poison:
    return Poison(
        task=f"failing.{task}", state="failed", error=error, alone=alone, may_crash=may_crash
    )


#: Of this process, beside which others may run the same.
CGROUP = f"pgqueue-poison-{os.getpid()}"

DEADLY = (
    _crash("segfault", "killed by SIGSEGV"),
    _crash("abort", "killed by SIGABRT"),
    _crash("exit_0", "exited with code 0"),
    _crash("exit_7", "exited with code 7"),
    _crash("kill_itself", "killed by SIGKILL"),
    _crash("kill_its_group", "killed by SIGKILL"),
    _crash("close_files", "exited|killed"),
)
#: Needs root.
OUT_OF_MEMORY = _crash("run_out_of_memory", r"killed by SIGKILL", CGROUP)
HANGING = tuple(
    map(
        _hang,
        (
            "spin_in_c",
            "spin_in_python",
            "swallow_everything",
            "sleep_for_ever",
            "receive_for_ever",
            "lock_itself",
            "stop_itself",
            "block_the_loop",
            "refuse_to_be_cancelled",
        ),
    )
)
FAILING = (
    _fail("want_too_much_memory", "MemoryError", alone=True),
    _fail("recurse", "RecursionError"),
    # Python does not always survive to be without memory in the middle of that.
    _fail(
        "recurse_beyond_the_limit",
        "MemoryError|RecursionError|SystemError",
        alone=True,
        may_crash=True,
    ),
    _fail("leave", "SystemExit: swordfish"),
    _fail("interrupt", "KeyboardInterrupt"),
    _fail("end_a_generator", "GeneratorExit"),
    _fail("raise_a_base_exception", "OwnBaseError: base"),
    _fail("raise_without_words", "SpeechlessError"),
    _fail("raise_50_megabytes", "ValueError: xxx"),
    _fail("raise_unstorable_text", "ValueError: a"),
    _fail("raise_a_group", "ExceptionGroup: many"),
    _fail("raise_a_chain", "ValueError: 2999"),
    _fail("return_an_object", "ResultNotSerializable: a value of type object"),
    _fail("return_2_megabytes", "ResultNotSerializable: the result must be at most 1048576"),
    _fail("return_nan", "ResultNotSerializable: NaN"),
    _fail("cancel_every_task", "CancelledError", alone=True),
    _fail("leave_the_loop", "SystemExit: 3"),
)
LITTERING = (
    # What a tracer raises is the task's own error.
    Poison(task="littering.trace", state="failed", error="RuntimeError: traced"),
    *(
        Poison(task=f"littering.{name}")
        for name in (
            "fork_and_return", "fork_bomb", "close_the_standard_streams",
            "replace_the_standard_streams", "go_elsewhere", "change_the_umask",
            "change_the_environment", "change_signal_handlers", "change_the_locale",
            "change_the_path", "change_the_recursion_limit", "leak_threads", "register_at_exit",
            "delete_its_module", "patch_time", "patch_json", "patch_open", "stop_the_loop",
            "signal_its_group", "lead_a_session", "be_nice", "stop_collecting", "hook_threads",
            "raise_while_deleted", "leave_a_transaction",
        )
    ),
)  # fmt: skip

#: What a task changes of its process that the next job must not see.
TIDY = ("cwd", "environment", "handlers", "recursion limit")


@dataclass(slots=True)
class _Fed:
    """A job of a kind, and what else is known about it."""

    poison: Poison
    job: int
    siblings: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Feeder:
    """Feed poison to one worker.

    Args:
        jobs: of the worker's database.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def deadly(self, kinds: Iterable[Poison]) -> list[Verdict]:
        """Feed those that end their process: one after the other, siblings in between."""
        fed: list[_Fed] = []
        with working(self._jobs.dsn, APP, "--processes", "2", "--threads", "2") as worker:
            for poison in kinds:
                fed.append(self._feed(poison))
                time.sleep(_APART)
            self._wait(fed)
            self._settle(worker, fed)
        return self._judge(fed)

    def hanging(self, kinds: Sequence[Poison]) -> list[Verdict]:
        """Feed those that do not end, all at once, so that the wait for their limit is shared."""
        words = ("--processes", str(min(4, len(kinds))), "--threads", "3")
        with working(self._jobs.dsn, APP, *words) as worker:
            with self._jobs.connection.transaction():
                fed = [self._feed(poison) for poison in kinds]
            self._wait(fed)
            self._settle(worker, fed)
        return self._judge(fed)

    def ending(self, kinds: Iterable[Poison]) -> list[Verdict]:
        """Feed those that end by themselves, to one child, and look at it after each."""
        fed: list[_Fed] = []
        with working(self._jobs.dsn, APP, "--processes", "1", "--threads", "2") as worker:
            before = self._look_around()
            for poison in kinds:
                one = self._feed(poison)
                fed.append(one)
                self._wait([one])
                after = self._look_around()
                one.complaints += [
                    f"left another {what} behind" for what in TIDY if before[what] != after[what]
                ]
            self._settle(worker, fed)
            assert worker.stop(60) == 0, worker.log()
        return self._judge(fed)

    # -- feeding and waiting ----------------------------------------------------------------

    def _feed(self, poison: Poison) -> _Fed:
        """Insert the job among siblings; those of one that must be alone come before and after."""
        around = self._siblings()
        if poison.alone:
            self._jobs.wait_all(around, timeout=BOUND)
        with self._jobs.connection.transaction():
            job = self._jobs.add(_PREFIX + poison.task, *poison.args)
            if not poison.alone:
                around += self._siblings()
        return _Fed(poison, job, around)

    def _siblings(self) -> list[int]:
        return [job for task in _SIBLINGS for job in self._jobs.add_many(2, task, "well")]

    def _wait(self, fed: list[_Fed]) -> None:
        """Wait until these are over, or the time is."""
        ids = [one.job for one in fed]
        ended = {"succeeded", "failed", "cancelled", "expired"}
        try:
            eventually(lambda: self._jobs.states(ids).keys() <= ended, BOUND)
        except AssertionError:
            for one in fed:
                if (state := self._jobs.state(one.job)) not in ended:
                    one.complaints.append(f"still {state} after {BOUND:g} s")

    def _settle(self, worker: RunningWorker, fed: list[_Fed]) -> None:
        """See that the worker still works, and that the siblings are through."""
        with contextlib.suppress(AssertionError):
            # Whatever is wrong with one of them is said where it is judged.
            ids = [sibling for one in fed for sibling in one.siblings]
            self._jobs.wait_all(ids, timeout=BOUND)
        self._jobs.wait_all(self._jobs.add_many(20, _SIBLINGS[1], "afterwards"), timeout=BOUND)
        assert worker.process.poll() is None
        known = "SELECT count(*) FROM pgqueue.workers WHERE pid = %s"
        assert self._jobs.value(known, worker.pid) == 1
        assert self._jobs.problems() == []

    def _look_around(self) -> dict[str, Any]:
        # Twice, since there are two slots: the second waits until whatever runs has ended.
        found = [self._jobs.wait(self._jobs.add(_LOOK_AROUND), timeout=BOUND) for _ in range(2)]
        return dict(found[1]["result"])

    # -- judging ----------------------------------------------------------------------------

    def _judge(self, fed: list[_Fed]) -> list[Verdict]:
        return [self._verdict(one) for one in fed]

    def _verdict(self, one: _Fed) -> Verdict:
        row = self._jobs.look(one.job)
        lines = [f"{error['kind']}: {error['message']}" for error in self._jobs.errors(one.job)]
        complaints = [*one.complaints, *self._about_siblings(one)]
        said = " | ".join([row["error"] or "", *lines])
        came = f"{row['state']} after {row['attempt'] - row['lost'] + row['crashes']}"
        poison = one.poison
        given_up = (row["error"] or "").startswith("crash_loop: ")
        ok = (
            came == f"{poison.state} after {poison.attempts}"
            and re.search(poison.error, said) is not None
            and (poison.attempts == 1 or given_up)
        ) or (poison.may_crash and given_up and came == "failed after 3")
        ok = ok and not complaints
        shown = [came, (row["error"] or "")[:100], *complaints]
        return Verdict(
            name=poison.name, expected=poison.expected, came="; ".join(filter(None, shown)), ok=ok
        )

    def _about_siblings(self, one: _Fed) -> Iterator[str]:
        for job in one.siblings:
            row = self._jobs.look(job)
            if (row["state"], row["result"]) != ("succeeded", "well"):
                yield f"sibling {row['state']}: {row['error']}"
            elif row["attempt"] != row["lost"] + 1:
                yield f"sibling took {row['attempt']} attempts of which {row['lost']} were lost"


def run(jobs: Jobs, *names: str) -> list[Verdict]:
    """Feed all kinds that can be fed here, or those named."""

    def among(kinds: Iterable[Poison]) -> list[Poison]:
        return [kind for kind in kinds if not names or kind.name in names]

    feeder = Feeder(jobs)
    found: list[Verdict] = []
    if kinds := among(DEADLY):
        found += feeder.deadly(kinds)
    if (kinds := among([OUT_OF_MEMORY])) and deadly.can_limit_memory():
        with deadly.memory_cgroup(CGROUP):
            found += feeder.deadly(kinds)
    if kinds := among(HANGING):
        found += feeder.hanging(kinds)
    if kinds := among(FAILING):
        found += feeder.ending(kinds)
    if kinds := among(LITTERING):
        found += feeder.ending(kinds)
    return found
