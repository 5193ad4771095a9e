"""Scenarios in which processes are killed, frozen and stopped."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.faults.arena import Arena, Worker
from tests.faults.scenarios import MIX, Scenario, register
from tests.helpers import eventually

#: Seconds after which workers are old enough to rescue.
_SETTLED = 11
_FREEZER = Path("/sys/fs/cgroup/freezer")


def _quiet(arena: Arena) -> None:
    for _ in arena.cycle():
        pass


def kill_child(arena: Arena, worker: Worker) -> None:
    """Kill one child of a worker, which goes on."""
    children = worker.children()
    if not children:
        return
    victim = arena.random.choice(children)
    with arena.fault("child-kill", targets=[victim]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        arena.dead([victim])
        eventually(lambda: not _alive(victim))


def _alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def kill_zygote(arena: Arena, worker: Worker) -> None:
    """Kill the process that forks; its children die with it, the supervisor starts another."""
    family = worker.family()
    if len(family) < 2:
        return
    with arena.fault("zygote-kill", targets=family[1:]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(family[1], signal.SIGKILL)
        eventually(lambda: not any(map(_alive, family[1:])))
        arena.dead(family[1:])


def _kill9(arena: Arena) -> None:
    for _ in arena.cycle():
        worker = arena.victim()
        how = arena.random.choices(("supervisor", "child", "zygote"), (5, 4, 1))[0]
        if how == "supervisor":
            arena.kill_worker(worker)
            arena.replace(worker)
        elif how == "child":
            kill_child(arena, worker)
        else:
            kill_zygote(arena, worker)


def _child_kill(arena: Arena) -> None:
    for _ in arena.cycle():
        kill_child(arena, arena.victim())


def _rescue(arena: Arena) -> None:
    """Kill one supervisor at a time, and wait until its jobs were given to others.

    Whoever rescues must have been connected for 10 s; with all workers younger than that, a rescue
    takes as much longer.
    """
    time.sleep(_SETTLED)
    for _ in arena.cycle():
        worker = arena.victim()
        pid = worker.pid
        arena.kill_worker(worker)
        arena.replace(worker)
        with contextlib.suppress(AssertionError):
            eventually(lambda pid=pid: not _is_member(arena, pid), 40)
        arena.pause(0.5, 2.5)


def _is_member(arena: Arena, pid: int) -> bool:
    return bool(arena.execute("SELECT id FROM pgqueue.workers WHERE pid = %s", (pid,)))


def roll_one(arena: Arena) -> None:
    """Start another worker, and tell the oldest one to stop."""
    worker = min(arena.workers, key=lambda one: one.log_path)
    arena.wait_ready(arena.start_worker())
    code = worker.stop()
    arena.bury(worker)
    if code != 0:
        arena.history.write("surprise", what=f"a worker ended with {code} after SIGTERM")


def _term(arena: Arena) -> None:
    for _ in arena.cycle():
        roll_one(arena)


# -- freezing -------------------------------------------------------------------------------


@contextlib.contextmanager
def _stopped(arena: Arena, what: str, pids: Iterable[int], family: Iterable[int]) -> Iterator[None]:
    chosen = list(pids)
    with arena.fault(what, targets=family):
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(chosen):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            # What it still does wrongly it does in the moment after it woke.
            arena.wait_heard()


@contextlib.contextmanager
def _frozen_group(arena: Arena, worker: Worker) -> Iterator[None]:
    """Freeze a whole family at one instant, as a virtual machine is paused."""
    family = worker.family()
    group = _FREEZER / f"pgqueue-{worker.pid}"
    try:
        group.mkdir()
        for pid in family:
            (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        with _stopped(arena, "freeze-all", family, family):
            yield
        return
    with arena.fault("freeze-all", targets=family):
        (group / "freezer.state").write_text("FROZEN")
        try:
            yield
        finally:
            (group / "freezer.state").write_text("THAWED")
            for pid in worker.family():
                with contextlib.suppress(OSError):
                    (_FREEZER / "cgroup.procs").write_text(str(pid))
            arena.wait_heard()
    with contextlib.suppress(OSError):
        group.rmdir()


def _past_the_lease(arena: Arena, victims: Iterable[Worker]) -> None:
    """Wait until others have given up who is frozen: after its lease, when the leader looks.

    Where the leader is among them, the others wait 6 s until they lead.
    """
    pids = [worker.pid for worker in victims]
    query = "SELECT count(*) FROM pgqueue.workers WHERE pid = ANY (%s)"
    with contextlib.suppress(AssertionError):
        eventually(lambda: arena.execute(query, (pids,))[0][0] == 0, 12)
    arena.pause(0, 0.2)


def freeze_one(arena: Arena) -> None:
    """Stop a supervisor past its lease, and wake it."""
    worker = arena.victim()
    with _stopped(arena, "freeze", [worker.pid], worker.family()):
        _past_the_lease(arena, [worker])


def _freeze(arena: Arena) -> None:
    """Freeze all workers but one, so that each cycle of time is several frozen supervisors."""
    done = 0
    at_once = max(1, len(arena.workers) - 1)
    wanted, arena.cycles = arena.cycles, -(-arena.cycles // at_once)
    for _ in arena.cycle():
        arena.victim()
        victims = arena.random.sample(arena.workers, at_once)
        families = [worker.family() for worker in victims]
        bosses = [worker.pid for worker in victims]
        everybody = [pid for family in families for pid in family]
        with _stopped(arena, "freeze", bosses, everybody):
            _past_the_lease(arena, victims)
        done += len(victims)
    arena.cycles_done = done
    arena.cycles = wanted


def _freeze_all(arena: Arena) -> None:
    for _ in arena.cycle():
        worker = arena.victim()
        with _frozen_group(arena, worker):
            _past_the_lease(arena, [worker])


def _needs_proc() -> str | None:
    return None if Path("/proc/self/task").is_dir() else "needs the /proc of Linux"


register(Scenario(
    name="none", summary="no fault at all: nothing runs twice, everybody starts at once",
    strike=_quiet, wake=30.0,
))  # fmt: skip
register(Scenario(
    name="kill9", summary="SIGKILL of supervisors, children and zygotes, mixed",
    strike=_kill9, jobs=10_000, cycles=50, needs=_needs_proc,
))  # fmt: skip
register(Scenario(
    name="child-kill", summary="SIGKILL of children", strike=_child_kill, jobs=5000, cycles=50,
    needs=_needs_proc,
))  # fmt: skip
register(Scenario(
    name="rescue", summary="SIGKILL of supervisors with the heartbeat and lease as delivered",
    strike=_rescue, options=("--processes", "2"), cycles=12, jobs=1500, needs=_needs_proc,
    mix={"plain": 40, "long": 60},
))  # fmt: skip
register(Scenario(
    name="term", summary="a rolling restart of workers under load", strike=_term, cycles=10,
    jobs=5000, allows=frozenset(), needs=_needs_proc,
))  # fmt: skip
register(Scenario(
    name="freeze", summary="supervisors stopped past their lease, and woken",
    strike=_freeze, workers=6, options=("--heartbeat", "0.3", "--lease", "2", "--processes", "1"),
    cycles=200, jobs=10_000, allows=frozenset({"overlap"}), needs=_needs_proc,
    # Supervisors that hold nothing when they are stopped show nothing.
    mix={**MIX, "long": 60},
))  # fmt: skip
register(Scenario(
    name="freeze-all", summary="whole families stopped at one instant past their lease, and woken",
    strike=_freeze_all, options=("--heartbeat", "0.3", "--lease", "2", "--processes", "2"),
    cycles=20, jobs=2000, allows=frozenset({"overlap"}), needs=_needs_proc,
))  # fmt: skip
