"""Schedules that are due: ask which, compute their slots, fire them, in batches.

The leader calls this when one is due; `pgqueue.fire_schedules` keeps two leaders from doing so
twice. Rules are computed in a thread: one that takes long must not hold up heartbeats.
"""

import asyncio
import contextlib
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Sequence

from pgqueue.core import failpoints
from pgqueue.core.errors import ConnectionLostError
from pgqueue.core.planning import Due, Plan, failed, plan
from pgqueue.db import schedule_calls
from pgqueue.db.session import Session, StatementError
from pgqueue.worker.fetcher import Fetcher
from pgqueue.worker.trouble import Trouble

log = logging.getLogger("pgqueue.worker")

#: The most schedules in one firing, and the most jobs.
_MOST = 500
_MOST_JOBS = 2000
#: Seconds of computing after which what was planned is fired, and those after which a rule is
#: given up on.
_SHARE = 0.25
_PATIENCE = 5.0
#: Parts in which that is waited for: a process that was frozen has waited one of them meanwhile,
#: and no rule is at fault.
_SLICES = 10
#: A rule that took too long is tried again after this.
_LONG = dt.timedelta(hours=1)
#: Seconds between looks whether the application was loaded anew.
_LOOK = 1.0
#: Seconds until the next try where another session holds what is due.
_HELD = 0.1
#: The SQLSTATE of a lock that was not to be had: somebody's transaction is taking the same unique
#: key. That schedule is looked at again; the others must not wait for it.
_LOCKED = "55P03"


class Firing:
    """Fire schedules.

    Args:
        fetcher: whose connection is used, in turn with others.
        declared: gives the schedules that the application declares, or None.
    """

    def __init__(self, fetcher: Fetcher, declared: Callable[[], bytes | None]) -> None:
        self._fetcher = fetcher
        self._declared = declared

    async def declare(self) -> None:
        """Tell the database what the application declares, at start and after each reload; every
        worker does, also one that never leads. Ends when cancelled."""
        trouble = Trouble("schedules")
        told: bytes | None = None
        while True:
            found = self._declared()
            if found is not None and found is not told:
                try:
                    async with self._fetcher.turn:
                        session = await self._fetcher.session()
                        changed, withdrawn = await schedule_calls.declare(session, found)
                except (ConnectionLostError, StatementError) as error:
                    if isinstance(error, ConnectionLostError) or error.may_pass:
                        await trouble.wait(error)
                        continue
                    log.error("the schedules that the application declares are refused: %s", error)
                    changed = withdrawn = 0
                told = found
                if changed or withdrawn:
                    log.info(
                        "schedules: %d are declared anew, %d no more; see pgqueue schedules list",
                        changed, withdrawn,
                    )  # fmt: skip
            await asyncio.sleep(_LOOK)

    async def run(self, due_in: float | None, timer: float, at: dt.datetime | None = None) -> float:
        """Fire a batch if one is due.

        Args:
            due_in: seconds until a schedule is due, as the server said; None for none.
            timer: seconds until anybody looks again.
            at: the time it is; None for the server's clock.

        Returns:
            Seconds until there is more to do.
        """
        if due_in is None or due_in > 0:
            return timer if due_in is None else due_in
        async with self._fetcher.turn:
            session = await self._fetcher.session()
            now, due, broken = await schedule_calls.due_schedules(session, _MOST, at)
        plans = [*broken, *await compute(due, now)]
        if not plans:
            return _HELD
        async with self._fetcher.turn:
            fired, moved = await carry_out(await self._fetcher.session(), plans, now)
        if fired:
            self._fetcher.look("look")
        return 0.0 if moved else _HELD


async def compute(due: Sequence[Due], at: dt.datetime) -> list[Plan]:
    """Plan schedules, in a thread, until it is time to fire those that are planned."""
    if not due:
        return []
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    plans: list[Plan] = []
    given_up = threading.Event()

    def work() -> None:
        began, jobs = time.monotonic(), 0
        for one in due:
            made = _plan(one, at)
            if given_up.is_set():
                return
            plans.append(made)
            jobs += len(made.slots)
            if jobs >= _MOST_JOBS or time.monotonic() - began > _SHARE:
                break
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_end, ended)

    # A daemon, which does not hold up the end of the worker.
    threading.Thread(target=work, name="pgqueue-firing", daemon=True).start()
    for _ in range(_SLICES):
        await asyncio.wait([ended], timeout=_PATIENCE / _SLICES)
        if ended.done():
            break
    else:
        given_up.set()
        if len(plans) < len(due):
            slow = due[len(plans)]
            why = f"its rule takes longer than {_PATIENCE:g} s to compute; does it ever fit?"
            return [*plans, failed(slow, at, why, _LONG)]
    return plans


async def carry_out(session: Session, plans: Sequence[Plan], at: dt.datetime) -> tuple[int, int]:
    """Fire what was planned; gives how many jobs were made and schedules moved.

    Args:
        at: the time it is, by the server's clock.
    """
    if failpoints.on:
        failpoints.hit("before_fire")
    for one in plans:
        if one.error is not None:
            log.warning("schedule %d cannot run: %s", one.id, one.error)
    try:
        found = await schedule_calls.fire(session, plans, at)
        if failpoints.on:
            failpoints.hit("after_fire")
        return found
    except StatementError as error:
        if error.may_pass and error.sqlstate != _LOCKED:
            raise
        log.warning("schedules: %s; firing them one by one", error)
    return await _one_by_one(session, plans, at)


async def _one_by_one(session: Session, plans: Sequence[Plan], at: dt.datetime) -> tuple[int, int]:
    """Fire each alone: a trigger of the application's, say, refuses the jobs of one of them, or
    one has to wait for a lock."""
    fired = moved = 0
    for one in plans:
        try:
            found = await schedule_calls.fire(session, [one], at)
        except StatementError as error:
            if error.sqlstate == _LOCKED:
                continue
            if error.may_pass:
                raise
            found = await schedule_calls.fire(session, [failed(one, at, str(error))], at)
        fired, moved = fired + found[0], moved + found[1]
    return fired, moved


def _plan(due: Due, at: dt.datetime) -> Plan:
    try:
        return plan(due, at)
    except Exception as error:
        # Whatever a library makes of a strange rule: it is one schedule's trouble.
        return failed(due, at, f"its rule cannot be computed: {type(error).__name__}: {error}")


def _end(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)
