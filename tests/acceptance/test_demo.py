"""`python -m pgqueue demo`: it tells the truth, refuses what it cannot do, and leaves nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pgqueue.__main__ import main
from pgqueue.demo import tasks
from pgqueue.demo.work import LARGEST, find_files
from tests.helpers import ROOT, eventually, run_cli

Refused = Callable[..., str]

KEYS = [
    "committed", "rolled_back", "done", "lost", "phantom", "rerun", "kills", "start_ms_p50",
    "start_ms_p99", "jobs_per_s",
]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory tree with 300 files that can be read, and some that are left out."""
    top = tmp_path / "tree"
    for number in range(300):
        file = top / f"folder {number % 7}" / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"file {number}\n" * number)
    (top / "loop").symlink_to(top)
    (top / "link").symlink_to(top / "folder 1" / "1.txt")
    os.mkfifo(top / "pipe")
    (top / "__pycache__").mkdir()
    (top / "__pycache__" / "compiled.pyc").write_bytes(b"\0")
    (top / os.fsdecode(b"not utf-8 \xff")).touch()
    with (top / "large").open("wb") as large:
        large.truncate(LARGEST + 1)
    return top


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run the command in this process; it must refuse what it is given. Gives what it says."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> str:
        assert main(["demo", *arguments]) == 2
        done = capsys.readouterr()
        assert done.out == ""
        return done.err

    return run


def test_every_committed_job_is_done_and_no_other_though_a_worker_is_killed(
    tree: Path, postgres_bin: str | None
) -> None:
    env = {"PGQUEUE_POSTGRES_BIN": postgres_bin} if postgres_bin else {}
    ended = run_cli("demo", "--path", str(tree), "--json", env=env, timeout=110)

    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert list(figures) == KEYS
    assert figures["committed"] == 270
    assert figures["rolled_back"] == 30
    assert figures["done"] == 270
    assert (figures["lost"], figures["phantom"]) == (0, 0)
    assert figures["kills"] == 1
    assert 0 <= figures["rerun"] <= 270
    # Where our own process was put off, a task has begun before the commit returned: 0.
    assert 0 <= figures["start_ms_p50"] <= figures["start_ms_p99"]
    assert figures["jobs_per_s"] > 0


def test_a_pipe_gets_lines_and_the_table(tree: Path) -> None:
    ended = run_cli("demo", "--path", str(tree), "--limit", "4", env={"COLUMNS": "60"})

    assert ended.returncode == 0, ended.stderr
    assert "4 files below" in ended.stdout
    assert "\x1b" not in ended.stdout
    for row in ("committed", "rolled back", "lost", "phantom", "start latency p99", "jobs/s"):
        assert f"\n  {row} " in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--path", "/no/such/directory"), "'/no/such/directory': No such file or directory"),
        (("--path", __file__), "Not a directory"),
        (("--path", ""), "--path must be a directory"),
        (("--limit", "0"), "--limit must be a whole number from 1"),
        (("--processes", "two"), "--processes must be a whole number from 1"),
        (("--dsn", "host=localhost"), "leave out --dsn"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(
    arguments: tuple[str, ...], sentence: str, refused: Refused
) -> None:
    said = refused(*arguments)
    assert sentence in said
    assert said.count("\n") == 1


def test_a_directory_without_files_is_refused(tmp_path: Path, refused: Refused) -> None:
    assert "there is no file to read" in refused("--json", "--path", str(tmp_path))


def test_without_a_postgresql_it_says_what_to_install(
    tree: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_POSTGRES_BIN", "/no/programs")
    said = refused("--json", "--path", str(tree))
    assert "no executable postgres is there" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_it_leaves_nothing(tree: Path, number: signal.Signals) -> None:
    # A short path of its own: sockets have no long names, and whatever is left is seen there.
    with tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp") as place:
        os.chmod(place, 0o711)  # for the server's account, where root runs this
        process = subprocess.Popen(
            [sys.executable, "-m", "pgqueue", "demo", "--path", str(tree)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": place, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "are ready" in line:
                    break
            workers = _descendants(process.pid)
            assert len(workers) > 6, "two workers with their children, and the server"
            process.send_signal(number)
            _, said = process.communicate(timeout=100)
        finally:
            process.kill()
            process.communicate()

        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == 128 + number
            assert said == "pgqueue: the demonstration was stopped\n"
            assert os.listdir(place) == []
        # Killed itself, it leaves the server to its keeper, which takes a moment; as the end of
        # processes does that were killed.
        eventually(lambda: not [pid for pid in workers if _runs(pid)])
        eventually(lambda: os.listdir(place) == [])


def test_what_is_found_in_files(tree: Path) -> None:
    files = find_files(tree, 1000)

    assert len(files) == 300
    assert [file.path for file in find_files(tree, 10)] == [file.path for file in files[:10]]
    assert {os.path.basename(file.path) for file in files} == {f"{n}.txt" for n in range(300)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"one",
        b"one two\nthree\r\n\n  four",
        b" \n" * 10,
        b"x" * (3 << 20),
        b"ab cd\n" * (1 << 19),
        b" " * (1 << 20) + b"a",
        b"a" * (1 << 20) + b" b\n",
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_lines_words_and_hash_of_a_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)

    assert tasks.read(str(file)) == tasks.Finding(
        lines=content.count(b"\n"),
        words=len(content.split()),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _descendants(pid: int) -> list[int]:
    """List the processes below one, the keeper and its server among them."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            below.setdefault(int(fields[1]), []).append(int(entry.name))
    found, ahead = [], [pid]
    while ahead:
        children = below.get(ahead.pop(), [])
        found += children
        ahead += children
    return found


def _runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
