"""The tutorial is followed to the letter: its files are written, its command lines are run."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgqueue.db.embedded import EmbeddedServer
from tests.docs.pages import DOCS, Block, Page
from tests.helpers import ROOT

_EXPORT = re.compile(r"export (\w+)=(\S+)")


@pytest.mark.timeout(600)
def test_the_tutorial_can_be_followed(tmp_path: Path, postgres_bin: str | None) -> None:
    page = Page(path=DOCS / "tutorial" / "first-job.md")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Also where pgqueue is not installed but only checked out.
    environment["PYTHONPATH"] = os.fspath(ROOT)
    if postgres_bin is not None:
        environment["PGQUEUE_POSTGRES_BIN"] = postgres_bin
    printed = [follow(block, tmp_path, environment) for block in page.blocks("python", "sh")]
    said = "\n".join(printed)
    for expected in ("1 ready", "succeeded", '"hello, Ada"', "1 customer", "1 job", '"done"'):
        assert expected in said
    # Two attempts for the fragile one, and no job of the transaction that was rolled back.
    assert "2" in printed[-1]
    assert "Nobody" not in printed[-1]


@pytest.mark.timeout(600)
def test_the_tutorial_of_django_can_be_followed(tmp_path: Path, server: EmbeddedServer) -> None:
    page = Page(path=DOCS / "tutorial" / "django.md")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment["PYTHONPATH"] = os.fspath(ROOT)
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    found = conninfo_to_dict(server.dsn())
    for name, variable in (("host", "PGHOST"), ("port", "PGPORT"), ("user", "PGUSER")):
        environment[variable] = str(found[name])
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE shop")
        try:
            said = "\n".join(
                follow(block, tmp_path, environment) for block in page.blocks("py", "sh")
            )
            assert said.index("Applying pgqueue.0001_initial") < said.index("job 1\n")
            for expected in ("succeeded", "sent to ada@example.org", "Superuser created"):
                assert expected in said
            look = Block(language="sh", text=f"python manage.py shell -c '{_LOOK}'\n", line=0)
            assert "the admin says 200 True" in follow(look, tmp_path, environment)
        finally:
            connection.execute("DROP DATABASE shop WITH (FORCE)")


#: What a browser would see, without one.
_LOOK = """
from django.contrib.auth.models import User
from django.test import Client
client = Client(headers={"host": "localhost"})
client.force_login(User.objects.get())
page = client.get("/admin/pgqueue/job/")
print("the admin says", page.status_code, "shop.tasks.send_receipt" in page.content.decode())
"""


def follow(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """Do what a block says; gives what it printed."""
    if block.language in ("python", "py"):
        assert block.file_name is not None
        path = folder / block.file_name
        # Of settings that are there already it is the end.
        before = path.read_text(encoding="utf-8") if path.name == "settings.py" else ""
        path.write_text(before + block.text, encoding="utf-8")
        return ""
    environment |= dict(_EXPORT.findall(block.text))
    if "-m pip" in block.text:
        return ""
    with subprocess.Popen(
        ["/bin/sh", "-euc", block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said, complained = shell.communicate(timeout=280)
        finally:
            # Nothing that it started is left behind when it takes too long.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, f"{block.text}\n{said}\n{complained}"
    return said
