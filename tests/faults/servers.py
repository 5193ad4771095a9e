"""Scenarios in which the server or its sessions are disturbed, and those with no fault at all but
much to do."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psycopg

from tests.faults import processes
from tests.faults.arena import Arena, Worker
from tests.faults.scenarios import Scenario, register

_FAILPOINTS = (
    "after_claim", "before_child_exec", "child_before_fn", "child_after_fn", "before_finish",
    "finish_reply_lost", "after_finish", "before_beat", "before_listen", "after_listen",
    "sweep_mid_batch",
)  # fmt: skip
#: What is passed with every job needs a rarer death than what is passed once a second.
_OFTEN = {"child_before_fn": 0.004, "child_after_fn": 0.004, "before_listen": 0.3,
          "after_listen": 0.3, "sweep_mid_batch": 0.3}  # fmt: skip


def restart(arena: Arena, mode: str) -> None:
    """Restart the server; `immediate` is a crash of it."""
    crash = mode == "immediate"
    for worker in arena.workers:
        # One that starts where no server is ends at once, as it should.
        arena.wait_ready(worker)
    with arena.fault(f"restart-{mode}", scope="crash" if crash else "server"):
        arena.server.restart("immediate" if crash else "fast")
        arena.wait_heard()


def terminate_all(arena: Arena) -> None:
    """End every session of the database."""
    with arena.fault("terminate-all", scope="server"):
        with contextlib.suppress(psycopg.OperationalError):
            arena.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        arena.wait_heard()


def kill_backend(arena: Arena) -> None:
    """Kill one server process, which makes the server throw all of its memory away."""
    with arena.fault("kill-backend", scope="crash"):
        with contextlib.suppress(psycopg.OperationalError):
            found = arena.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid"
            )
            if found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(arena.random.choice(found)[0], signal.SIGKILL)
        time.sleep(0.2)
        arena.wait_heard()


def _restart_fast(arena: Arena) -> None:
    for _ in arena.cycle():
        restart(arena, "fast")


def _restart_immediate(arena: Arena) -> None:
    for _ in arena.cycle():
        restart(arena, "immediate")


def _terminate(arena: Arena) -> None:
    for _ in arena.cycle():
        terminate_all(arena)


def _stalled(arena: Arena) -> None:
    """Stop the server's processes that serve one worker: to it, the network is gone."""
    for _ in arena.cycle():
        worker = arena.victim()
        stall(arena, worker, arena.random.uniform(2.5, 3.5))


def stall(arena: Arena, worker: Worker, seconds: float) -> None:
    """Cut a worker off for so long: its sessions stay open and silent."""
    pids = _sessions_of(worker)
    with arena.fault("stalled-sessions", targets=worker.family()):
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            arena.wait_heard()


def _sessions_of(worker: Worker) -> list[int]:
    """Give the server's processes at the other end of a supervisor's Unix sockets.

    They are found by what the kernel says of peers: `ss` is not on every machine.
    """
    inodes = set()
    for fd in Path(f"/proc/{worker.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(fd)
            if target.startswith("socket:["):
                inodes.add(int(target[8:-1]))
    return _peers(inodes)


def _peers(inodes: set[int]) -> list[int]:
    import subprocess

    said = subprocess.run(["ss", "-xpnH"], capture_output=True, text=True, check=False).stdout
    found = set()
    for line in said.splitlines():
        words = line.split()
        # u_str ESTAB 0 0 path inode * peer users:(("postgres",pid=…,fd=…))
        if len(words) > 8 and words[7].isdigit() and int(words[7]) in inodes:
            for part in words[8].split("pid=")[1:]:
                if '"postgres"' in words[8]:
                    found.add(int(part.split(",")[0]))
    return sorted(found)


def _mixed(arena: Arena) -> None:
    faults = (
        lambda: arena.replace(_killed(arena)),
        lambda: processes.kill_child(arena, arena.victim()),
        lambda: processes.kill_zygote(arena, arena.victim()),
        lambda: processes.freeze_one(arena),
        lambda: restart(arena, "fast"),
        lambda: restart(arena, "immediate"),
        lambda: terminate_all(arena),
        lambda: kill_backend(arena),
        lambda: processes.roll_one(arena),
    )
    for _ in arena.cycle():
        arena.random.choice(faults)()


def _killed(arena: Arena) -> Worker:
    worker = arena.victim()
    arena.kill_worker(worker)
    return worker


# -- failpoints -----------------------------------------------------------------------------


def _failpoints(arena: Arena) -> None:
    """Workers that die by themselves at every named place; who died is started anew."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep_alive, args=(arena, over))
    keeper.start()
    # The fault lies over everything: who dies when is the workers' own affair.
    with arena.fault("failpoints", scope="server"):
        for _ in arena.cycle():
            name = arena.random.choice(_FAILPOINTS)
            chance = _OFTEN.get(name, 0.03)
            worker = arena.victim()
            arena.kill_worker(worker)
            arena.bury(worker)
            setting = {"PGQUEUE_FAILPOINTS": f"{name}=kill9:{chance}"}
            if name == "finish_reply_lost" and arena.random.random() < 0.7:
                setting = {"PGQUEUE_FAILPOINTS": f"{name}=drop:0.05"}
            arena.start_worker(env=setting)
            arena.pause(0.3, 0.8)
        over.set()
        keeper.join()
        for worker in list(arena.workers):
            if (worker.again["env"] or {}).get("PGQUEUE_FAILPOINTS"):
                if worker.alive:
                    arena.kill_worker(worker)
                arena.bury(worker)
                arena.start_worker()


def _keep_alive(arena: Arena, over: threading.Event) -> None:
    seen: dict[int, list[int]] = {}
    while not over.wait(0.02):
        for worker in list(arena.workers):
            if worker.alive:
                seen[worker.pid] = worker.family()
                continue
            if worker.ordered:
                continue
            arena.dead(seen.get(worker.pid, [worker.pid]))
            worker.ordered = True
            arena.facts["deaths"] = arena.facts.get("deaths", 0) + 1
            arena.replace(worker)


# -- no fault -------------------------------------------------------------------------------


def _soak(arena: Arena) -> None:
    """Much work, and what the processes hold of the machine before and after it."""
    before: dict[int, dict[str, int]] = {}
    for number in arena.cycle():
        while arena.unfinished() > 2 * arena.jobs // arena.cycles:
            time.sleep(0.05)
        if number == arena.cycles // 5:
            before = _held(arena)
    for producer in arena.producers:
        producer.finish()
    while arena.unfinished():
        time.sleep(0.05)
    after = _held(arena)
    grown: dict[str, int] = {}
    for pid, was in before.items():
        for name, number in after.get(pid, {}).items():
            grown[name] = max(grown.get(name, 0), number - was[name])
    arena.facts["grown"] = grown
    for name, most in (("fds", 2), ("threads", 0), ("rss_kb", 8192)):
        if grown.get(name, 0) > most:
            arena.history.write("surprise", what=f"{name} of a process grew by {grown[name]}")


def _held(arena: Arena) -> dict[int, dict[str, int]]:
    found = {}
    for worker in arena.workers:
        for pid in worker.family():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
                found[pid] = {
                    "fds": len(os.listdir(f"/proc/{pid}/fd")),
                    "threads": int(lines["Threads"]),
                    "rss_kb": int(lines["VmRSS"].split()[0]),
                }
    return found


def _locks(arena: Arena) -> None:
    """Hold rows of jobs that run, as an administrator with an open transaction does."""
    for _ in arena.cycle():
        with arena.connect(autocommit=False) as connection:
            connection.execute(
                "SELECT FROM pgqueue.running_jobs ORDER BY random() LIMIT 5 FOR UPDATE SKIP LOCKED"
            )
            arena.pause(0.1, 0.4)
            connection.rollback()


def _order(arena: Arena) -> None:
    arena.facts["ordered"] = True
    for _ in arena.cycle():
        pass


# -- what is needed -------------------------------------------------------------------------


def _needs_ss() -> str | None:
    if os.geteuid() != 0:
        return "needs root, to stop processes of the server"
    paths = os.environ.get("PATH", "").split(os.pathsep)
    if not any(Path(path, "ss").exists() for path in paths):
        return "needs ss (iproute2)"
    return None


register(Scenario(
    name="restart-fast", summary="the server is restarted", strike=_restart_fast,
    jobs=2500, cycles=10,
))  # fmt: skip
register(Scenario(
    name="restart-immediate", summary="the server crashes and recovers",
    strike=_restart_immediate, jobs=2500, cycles=10,
))  # fmt: skip
register(Scenario(
    name="terminate-all", summary="every session is ended by an administrator",
    strike=_terminate, jobs=4000, cycles=30,
))  # fmt: skip
register(Scenario(
    name="stalled", summary="the server's side of one worker stops: it must end its own jobs first",
    strike=_stalled, jobs=600, cycles=12, needs=_needs_ss,
    options=("--heartbeat", "0.5", "--lease", "2", "--processes", "2"),
    mix={"plain": 80, "long": 10, "lasting": 10},
))  # fmt: skip
register(Scenario(
    name="failpoints", summary="workers die at every named place of the code",
    strike=_failpoints, jobs=3000, cycles=40, workers=4,
))  # fmt: skip
register(Scenario(
    name="mixed", summary="all of these, at random", strike=_mixed, jobs=5000, cycles=40,
    workers=4,
))  # fmt: skip
register(Scenario(
    name="atomic", summary="effects in the transaction of the finish, under all of these",
    strike=_mixed, jobs=3000, cycles=30, workers=4,
    mix={"atomic": 70, "plain": 20, "effect": 10},
))  # fmt: skip
register(Scenario(
    name="soak", summary="much work and no fault: nothing runs twice, nothing grows",
    strike=_soak, jobs=100_000, cycles=50, workers=1, drain=300,
    options=("--processes", "2", "--threads", "2"),
    mix={"plain": 60, "fails": 20, "async": 20}, shapes={"many": 10, "one": 1, "rollback": 1},
))  # fmt: skip
register(Scenario(
    name="locks", summary="rows of running jobs locked by somebody curious", strike=_locks,
    jobs=3000, cycles=20,
))  # fmt: skip
register(Scenario(
    name="wake", summary="jobs one by one: idle workers are woken at once",
    strike=processes._quiet, workers=2, producers=1, jobs=100, cycles=50, wake=3.0,
    options=("--heartbeat", "5", "--processes", "1"), mix={"plain": 1}, shapes={"one": 1},
))  # fmt: skip
register(Scenario(
    name="order", summary="one worker with one slot: in order", strike=_order, workers=1,
    options=("--processes", "1"), jobs=1500, cycles=5, mix={"plain": 95, "later": 5},
))  # fmt: skip
