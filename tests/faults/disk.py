"""Scenarios: no space left on the device, for the log or for the data. For root, who may mount."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from pgqueue.db.embedded.installation import choose_account
from tests.faults import dump
from tests.faults.arena import Arena
from tests.faults.lone import Delays
from tests.faults.scenarios import Scenario, register
from tests.fixtures.databases import SETTINGS
from tests.helpers import eventually

_FILLER = "filler"
_ROOM_FOR_LOG = 160 << 20
_ROOM_FOR_DATA = 96 << 20
_mounts: dict[int, Path] = {}


def may_mount() -> str | None:
    """Say why no file system can be mounted here, or None."""
    if os.geteuid() != 0:
        return "only root can mount a file system"
    with tempfile.TemporaryDirectory() as place:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
        try:
            subprocess.run(command, check=True, capture_output=True)
            subprocess.run(["umount", place], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no file system can be mounted here: {error}"
    return None


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """Mount a file system in memory that has so many bytes."""
    with tempfile.TemporaryDirectory(prefix="pgqueue-disk-") as place:
        os.chmod(place, 0o755)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", place], check=True
        )
        choose_account(None).own(Path(place))
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int = 0) -> None:
    """Write until there is no room left, or only so much."""
    free = os.statvfs(place)
    room = free.f_bavail * free.f_frsize - leave
    block = b"\0" * (1 << 16)
    with contextlib.suppress(OSError), (place / _FILLER).open("ab", buffering=0) as file:
        while room > 0:
            room -= file.write(block[: min(room, len(block))])


def empty(place: Path) -> None:
    """Give back what `fill` took."""
    (place / _FILLER).unlink(missing_ok=True)


# -- the log --------------------------------------------------------------------------------


@contextlib.contextmanager
def _server_on_small_disk(arena: Arena) -> Iterator[None]:
    usual = arena.server
    with small_disk(_ROOM_FOR_LOG) as place:
        settings = {
            **SETTINGS,
            "max_wal_size": "32MB",
            "min_wal_size": "32MB",
            # Every segment is a new file, so that a full disk is met and not waited for.
            "wal_recycle": "off",
            "wal_init_zero": "on",
        }
        with EmbeddedServer.start(bin_dir=usual.bin_dir, settings=settings, within=place) as server:
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{arena.database}"'.encode())
            arena.server = server
            arena.worker_dsn = arena.producer_dsn = arena.dsn
            with arena.connect() as connection:
                schema.upgrade(connection)
                dump.install(connection)
            _mounts[id(arena)] = place
            try:
                yield
            finally:
                empty(place)
                arena.server = usual
                del _mounts[id(arena)]


def _full_log(arena: Arena) -> None:
    place = _mounts[id(arena)]
    delays = Delays(arena)
    crashes = 0
    for _ in arena.cycle():
        with arena.fault("disk-full-wal", scope="crash"):
            fill(place)
            with contextlib.suppress(psycopg.Error):
                # Enough of the log for several segments, one of which finds no room.
                for _ in range(8):
                    arena.execute(
                        "SELECT pg_logical_emit_message(false, 'x', repeat('x', 8000000))"
                    )
            with contextlib.suppress(AssertionError):
                eventually(lambda: not arena.server.running, 20)
            crashes += not arena.server.running
            arena.pause(0.5, 1.5)
            empty(place)
            arena.server.restart("immediate")
            with delays.measured():
                pass
    arena.facts["server_ended"] = crashes
    delays.report(5.0)


register(
    Scenario(
        name="disk-full-wal",
        summary="no room for the log: the server ends, and is started when there is room",
        prepare=_server_on_small_disk,
        strike=_full_log,
        cycles=3,
        jobs=1000,
        needs=may_mount,
    )
)


# -- the data -------------------------------------------------------------------------------


@contextlib.contextmanager
def _tablespace_on_small_disk(arena: Arena) -> Iterator[None]:
    database = arena.database
    with (
        small_disk(_ROOM_FOR_DATA) as place,
        psycopg.connect(arena.server.dsn(), autocommit=True) as connection,
    ):
        connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'".encode())
        connection.execute(f'ALTER DATABASE "{database}" SET TABLESPACE small'.encode())
        _mounts[id(arena)] = place
        try:
            yield
        finally:
            empty(place)
            del _mounts[id(arena)]
            # The history has all that was in it.
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)'.encode())
            connection.execute("DROP TABLESPACE small")


def _full_data(arena: Arena) -> None:
    place = _mounts[id(arena)]
    delays = Delays(arena)
    refused = 0
    for _ in arena.cycle():
        with arena.fault("disk-full-data", scope="server"):
            fill(place)
            begun = time.monotonic()
            while time.monotonic() - begun < 2:
                try:
                    # What takes room for sure; rolled back all the same.
                    with psycopg.connect(arena.dsn) as connection:
                        connection.execute(
                            "INSERT INTO public.effects SELECT repeat('x', 2000), 0, false"
                            " FROM generate_series(1, 500)"
                        )
                        connection.rollback()
                except psycopg.errors.DiskFull:
                    refused += 1
                fill(place)
            # What needs no room goes on.
            arena.execute("DELETE FROM pgqueue.jobs WHERE false")
            empty(place)
            with delays.measured():
                pass
    arena.facts["refused_for_space"] = refused
    delays.report(5.0)


register(
    Scenario(
        name="disk-full-data",
        summary="no room for tables: statements are refused, and sent again when there is room",
        prepare=_tablespace_on_small_disk,
        strike=_full_data,
        cycles=5,
        jobs=3000,
        needs=may_mount,
    )
)
