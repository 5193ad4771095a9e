"""Which files are watched for `--reload`, and when a change is told."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from pgqueue.worker.watching import Watcher


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of an application that was imported."""
    path = tmp_path / "watched_module.py"
    path.write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "watched_module", raising=False)
    importlib.import_module("watched_module")
    return path


def touch(path: Path) -> None:
    """Give a file another time, as saving it does."""
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before, before + 10**9))


def test_a_change_is_told_once_it_rests(module: Path) -> None:
    watcher = Watcher()
    assert not watcher.look()
    touch(module)
    assert not watcher.look()
    touch(module)
    assert not watcher.look()
    assert watcher.look()
    assert not watcher.look()


@pytest.mark.parametrize("name", ["prefix", "base_prefix"])
def test_an_application_inside_of_the_prefix_is_watched(
    name: str, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `python -m venv .`, or a project in /usr/src with the Python of /usr.
    monkeypatch.setattr(sys, name, str(module.parent))
    watcher = Watcher()
    touch(module)
    assert [watcher.look(), watcher.look()] == [False, True]


def test_python_and_what_is_installed_are_not_watched() -> None:
    import json

    watched = Watcher()._seen
    assert json.__file__ not in watched
    assert pytest.__file__ not in watched
