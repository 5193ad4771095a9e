"""Scenarios that need the kernel's help: packets that vanish, processes that stand still as one.

For root: network namespaces, and the freezer of the control groups.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.arena import Arena, Worker
from tests.faults.proxy import Proxy
from tests.faults.scenarios import SCALED, Scenario, register

_LEASE = 2.0
_FREEZERS = (Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup"))
_NET = "10.177.{}.{}"

#: A namespace and the proxy outside of it through which its worker reaches the server.
_ways: dict[int, list[tuple[str, str, Proxy]]] = {}


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def may_make_namespaces() -> str | None:
    """Say why no network namespace can be made here, or None."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    try:
        with _namespace(99):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespace can be made here: {error}"


@contextlib.contextmanager
def _namespace(number: int) -> Iterator[tuple[str, str, str]]:
    """Make a namespace with a wire to us; give its name, our address and its address."""
    name = f"pgq{os.getpid()}n{number}"
    outer, inner = f"pq{os.getpid() % 100000}o{number}", f"pq{os.getpid() % 100000}i{number}"
    ours, theirs = _NET.format(number, 1), _NET.format(number, 2)
    _ip("netns", "add", name)
    try:
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", name)
        _ip("addr", "add", f"{ours}/24", "dev", outer)
        _ip("link", "set", outer, "up")
        _ip("-n", name, "addr", "add", f"{theirs}/24", "dev", inner)
        _ip("-n", name, "link", "set", inner, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield name, ours, theirs
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", outer)
        _ip("netns", "del", name)


@contextlib.contextmanager
def blackhole(*addresses: str) -> Iterator[None]:
    """Let every packet to these addresses vanish."""
    with contextlib.ExitStack() as stack:
        for address in addresses:
            _ip("route", "add", "blackhole", f"{address}/32")
            stack.callback(_ip, "route", "del", "blackhole", f"{address}/32")
        yield


@contextlib.contextmanager
def _namespaces(number: int, arena: Arena) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        ways = _ways[id(arena)] = []
        for one in range(number):
            name, ours, theirs = stack.enter_context(_namespace(one))
            host, port = Proxy.before(arena.dsn).target
            ways.append((name, theirs, stack.enter_context(Proxy(host, port, listen=ours))))
        try:
            yield
        finally:
            del _ways[id(arena)]


def _start_inside(arena: Arena, where: str, dsn: str | None = None) -> Worker:
    """Start a worker inside a namespace or a group; see `inside`."""
    usual, arena.program = arena.program, ("-m", "tests.faults.inside", where)
    try:
        return arena.start_worker(dsn=dsn)
    finally:
        arena.program = usual


def _hire(arena: Arena) -> list[tuple[Worker, str, Proxy]]:
    crew = [
        (_start_inside(arena, f"netns={name}", proxy.dsn(arena.dsn)), address, proxy)
        for name, address, proxy in _ways[id(arena)]
    ]
    for worker, *_ in crew:
        arena.wait_ready(worker)
    return crew


def _three_namespaces(arena: Arena) -> "contextlib.AbstractContextManager[None]":
    return _namespaces(3, arena)


def _vanish(arena: Arena) -> None:
    crew = _hire(arena)
    for _ in arena.cycle():
        worker, address, proxy = arena.random.choice(crew)
        with arena.fault("packets-vanish", targets=worker.family()):
            with blackhole(address):
                arena.pause(1.1 * _LEASE, 2.5 * _LEASE)
            arena.pause(0.3, 0.6)
        arena.facts["connections"] = proxy.accepted


register(
    Scenario(
        name="silent-loss",
        summary="packets to one of three workers vanish for longer than its lease",
        prepare=_three_namespaces,
        strike=_vanish,
        workers=0,
        options=SCALED,
        cycles=15,
        needs=may_make_namespaces,
    )
)


# -- processes that stand still -------------------------------------------------------------


def _freezer() -> Path | None:
    """Find where a control group can be made whose processes can be frozen."""
    for root in _FREEZERS:
        probe = root / f"pgqueue-probe-{os.getpid()}"
        with contextlib.suppress(OSError):
            probe.mkdir()
            try:
                if any((probe / name).exists() for name in ("freezer.state", "cgroup.freeze")):
                    return root
            finally:
                probe.rmdir()
    return None


def may_freeze() -> str | None:
    """Say why nothing can be frozen here, or None."""
    return None if _freezer() else "no control group with a freezer can be made here"


@contextlib.contextmanager
def frozen(group: Path) -> Iterator[None]:
    """Freeze the processes of a group."""
    first = (group / "freezer.state").exists()
    switch = group / ("freezer.state" if first else "cgroup.freeze")
    switch.write_text("FROZEN" if first else "1")
    try:
        yield
    finally:
        switch.write_text("THAWED" if first else "0")


_groups: dict[int, list[Path]] = {}


@contextlib.contextmanager
def _with_groups(arena: Arena) -> Iterator[None]:
    root = _freezer()
    assert root is not None
    groups = _groups[id(arena)] = [root / f"pgqueue-{os.getpid()}-{n}" for n in range(3)]
    for group in groups:
        group.mkdir()
    try:
        yield
    finally:
        del _groups[id(arena)]
        for worker in arena.workers:
            worker.destroy()
        for group in groups:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.05)


def _freeze(arena: Arena) -> None:
    crew = [(_start_inside(arena, f"cgroup={group}"), group) for group in _groups[id(arena)]]
    for worker, _ in crew:
        arena.wait_ready(worker)
    for _ in arena.cycle():
        worker, group = arena.random.choice(crew)
        with arena.fault("frozen", targets=worker.family()):
            with frozen(group):
                arena.pause(1.1 * _LEASE, 1.6 * _LEASE)
            arena.pause(0.3, 0.6)


register(
    Scenario(
        name="freezer",
        summary="a worker and all its processes stand still for longer than its lease",
        prepare=_with_groups,
        strike=_freeze,
        workers=0,
        cycles=20,
        # What was frozen with it goes on for a moment after it was given to others.
        allows=frozenset({"overlap"}),
        needs=may_freeze,
    )
)
