"""Make and check data directories; starts no server.

A kept data directory holds, beside PostgreSQL's own files, `pgqueue.json` (password, port, socket
directory; readable by its owner only) and `server.log`.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from pgqueue.core.errors import ConfigurationError
from pgqueue.db.embedded import keeper
from pgqueue.db.embedded.installation import (
    BIN_VARIABLE,
    Account,
    Installation,
    clean_environment,
)

SUPERUSER = "postgres"
LOG_FILE = "server.log"
_STATE_FILE = "pgqueue.json"
_DRAFT = "unfinished"
_COMPLETE = "complete"
_LOG_TAIL = 2000
_LOCK_PATIENCE = 90.0
# Below the range from which Linux and macOS take ports for outgoing connections, so that the port
# is still free when the server is restarted on it.
_PORTS = range(20000, 32000)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What `pgqueue.json` says: enough to reach the server, or to start it the same way again."""

    password: str
    port: int
    base: str

    @classmethod
    def renew(cls, old: "State | None", base: Path) -> "State":
        """Keep the password and, if it is free, the port of an earlier run; else make new ones.

        Args:
            old: the state of the earlier run.
            base: the new directory of the socket.
        """
        return cls(
            password=old.password if old else secrets.token_urlsafe(24),
            port=old.port if old and _is_free(old.port) else _free_port(),
            base=os.fspath(base),
        )

    def moved(self) -> "State":
        """Return the same with another port, for one that somebody took first."""
        return dataclasses.replace(self, port=_free_port())

    @classmethod
    def read(cls, data_dir: Path) -> "State | None":
        """Read the file, or return None where there is none."""
        try:
            found = json.loads((data_dir / _STATE_FILE).read_text())
            return cls(password=found["password"], port=int(found["port"]), base=found["base"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{data_dir / _STATE_FILE} is damaged; restore it, or use another directory"
            ) from error

    def dsn(self, database: str) -> str:
        """Return the URI of a database through the Unix socket."""
        host = quote(self.base, safe="")
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={host}&port={self.port}"

    def tcp_dsn(self, database: str) -> str:
        """Return the URI of a database through the loopback interface, with its password."""
        address = f"{SUPERUSER}:{self.password}@127.0.0.1:{self.port}"
        return f"postgresql://{address}/{quote(database, safe='')}"

    def write(self, data_dir: Path, account: Account) -> None:
        """Write the file, whole or not at all, readable by its owner only."""
        path = data_dir / _STATE_FILE
        draft = path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(dataclasses.asdict(self), file)
        account.own(draft)
        draft.replace(path)


def make_cluster(
    data_dir: Path,
    *,
    state: State,
    room: Path,
    installation: Installation,
    account: Account,
    sync: bool,
) -> None:
    """Make a new cluster in an empty directory: UTF-8, C locale, superuser `postgres`.

    It is made aside and moved in when it is complete, so that being killed on the way leaves
    nothing that looks like a cluster and is none.

    Args:
        state: its password, and what else is written beside it.
        room: a private directory of the account, for the password file.
        sync: False leaves the files to the operating system's cache.

    Raises:
        ConfigurationError: the directory is not empty, or initdb fails.
    """
    draft = data_dir / _DRAFT
    if draft.exists():
        shutil.rmtree(draft)
    if any(data_dir.iterdir()):
        raise ConfigurationError(
            f"data directory {data_dir} is not empty and pgqueue did not make what is in it; "
            "give an empty or a new directory"
        )
    # As initdb would do with the empty directory it is given.
    account.own(data_dir)
    data_dir.chmod(0o700)
    draft.mkdir(mode=0o700)
    account.own(draft)
    password_file = room / f"password-{secrets.token_hex(4)}"
    password_file.touch(mode=0o600)
    password_file.write_text(state.password)
    account.own(password_file)
    carried = keeper.open_directory(draft) if must_be_carried_in(account, draft) else None
    command = [
        os.fspath(installation.bin_dir / "initdb"),
        f"--pgdata={draft if carried is None else keeper.name_of(carried)}",
        f"--username={SUPERUSER}",
        f"--pwfile={password_file}",
        # The socket's directory is entered by the server's user (and root) only.
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        *([] if sync else ["--no-sync"]),
    ]
    try:
        done = subprocess.run(
            command,
            cwd="/",
            pass_fds=() if carried is None else (carried,),
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **account.identity,
        )
    finally:
        password_file.unlink()
        if carried is not None:
            os.close(carried)
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise ConfigurationError(
            f"initdb could not make a cluster in {data_dir}: "
            f"{(done.stderr or done.stdout).strip()[-_LOG_TAIL:]}"
        )
    state.write(draft, account)
    draft.rename(data_dir / _COMPLETE)
    finish_cluster(data_dir)


def finish_cluster(data_dir: Path) -> None:
    """Move a complete cluster to its place, also if somebody was interrupted doing it."""
    complete = data_dir / _COMPLETE
    if complete.is_dir():
        for path in list(complete.iterdir()):
            path.rename(data_dir / path.name)
        complete.rmdir()


def check_version(data_dir: Path, installation: Installation) -> None:
    """Refuse a cluster of another major version.

    Raises:
        ConfigurationError: the cluster needs another PostgreSQL, or has lost its files.
    """
    try:
        made_by = (data_dir / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise ConfigurationError(
            f"data directory {data_dir} has lost its cluster; remove what is left of it, or give "
            "another directory"
        ) from None
    if made_by != installation.major:
        raise ConfigurationError(
            f"data directory {data_dir} needs PostgreSQL {made_by}, the one here is "
            f"{installation.version}; set {BIN_VARIABLE} to the programs of PostgreSQL {made_by}, "
            "or give a new directory"
        )


def must_be_carried_in(account: Account, directory: Path) -> bool:
    """Return whether the account cannot reach a directory, and has to be given it open.

    Below a directory that only root may enter, no path works for another user. But a directory that
    root has opened and the program inherits has a name of its own in /proc.

    Raises:
        ConfigurationError: it cannot, and this is not Linux.
    """
    if account.may("x", directory):
        return False
    if not sys.platform.startswith("linux"):
        raise ConfigurationError(
            f"the server's user cannot enter {directory}; give a directory that it can"
        )
    return True


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock: one process at a time starts, joins or stops its server."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConfigurationError(
                        f"another process has been starting or stopping the server in {directory} "
                        f"for {_LOCK_PATIENCE:.0f} s; look at {directory / LOG_FILE}"
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As PostgreSQL does, so that a port of a server just stopped counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    # Not the generator that programs seed: processes with one seed would all try the same ports.
    for port in random.SystemRandom().sample(_PORTS, 1000):
        if _is_free(port):
            return port
    raise ConfigurationError("no free port on the loopback interface between 20000 and 32000")
