"""A project that used django-async runs its own tests unchanged, through the alias."""

import os
import subprocess
import sys
from pathlib import Path

from tests.fixtures.databases import Database
from tests.helpers import ROOT

PROJECT = Path(__file__).with_name("press_project")


def test_its_own_tests_pass(bare_db: Database, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    done = subprocess.run(
        [sys.executable, "-W", "error", PROJECT / "manage.py", "test", "--noinput", "press"],
        env={
            **environment,
            "PYTHONPATH": os.fspath(ROOT),
            "PGQUEUE_DSN": bare_db.dsn,
            "DJANGO_SETTINGS_MODULE": "settings",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 12 tests" in done.stderr
