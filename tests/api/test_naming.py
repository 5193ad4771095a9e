"""The name of a task defined in the program that was started is the one a worker will find."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

SOURCE = """
import pgqueue

@pgqueue.task
def send(): ...

if __name__ == "__main__":
    print(send.name)
    {more}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "shop" / "mail"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / "__init__.py").write_text("")
    (folder / "tasks.py").write_text(SOURCE.format(more=""))
    (folder / "__main__.py").write_text(SOURCE.format(more=""))
    (tmp_path / "alone.py").write_text(
        SOURCE.format(more="import alone; print(alone.send.name, alone.send is not send)")
    )
    return tmp_path


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (["shop/mail/tasks.py"], ["shop.mail.tasks.send"]),
        (["-m", "shop.mail.tasks"], ["shop.mail.tasks.send"]),
        (["-m", "shop.mail"], ["shop.mail.__main__.send"]),
        # Imported again under its own name, it is the same task and no conflict.
        (["alone.py"], ["alone.send", "alone.send True"]),
    ],
    ids=["a file in a package", "a module", "a package", "a file"],
)
def test_the_program_that_was_started(
    package: Path, command: list[str], printed: list[str]
) -> None:
    done = run(*command, cwd=package)
    assert done.stderr == ""
    assert done.stdout.splitlines() == printed


def test_the_interpreter_has_no_module(tmp_path: Path) -> None:
    code = "import pgqueue\ndef f(): ...\npgqueue.task(f)"
    done = run("-c", code, cwd=tmp_path)
    assert done.returncode == 1
    assert "give it a name: @task(name=…)" in done.stderr


def run(*command: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={"PYTHONPATH": f"{ROOT}", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
