"""The registry: a name is one function's."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from pgqueue.api.clients import Clients
from pgqueue.api.decorating import registry
from pgqueue.api.registry import Registry
from pgqueue.api.task import Task
from pgqueue.core.errors import TaskAlreadyRegisteredError, TaskNotFoundError
from pgqueue.core.options import TaskOptions


def make(function: Any, name: str, *aliases: str) -> Task[..., Any]:
    return Task(function, TaskOptions(aliases=aliases), name, lambda: Clients(None))


def one() -> None: ...


def two() -> None: ...


def test_names_and_aliases_find_the_task() -> None:
    known = Registry()
    task = make(one, "shop.one", "old.one", "older.one")
    known.add(task)
    assert known.get("shop.one") is known.get("old.one") is task
    assert known.names() == ["old.one", "older.one", "shop.one"]
    assert "older.one" in known
    assert list(known) == [task]
    assert len(known) == 1


def test_a_name_not_known_gets_the_nearest() -> None:
    known = Registry()
    known.add(make(one, "shop.send_receipt"))
    with pytest.raises(
        TaskNotFoundError, match=r"'shop\.send_reciept'; did you mean 'shop\.send_r"
    ):
        known.get("shop.send_reciept")


def test_two_functions_cannot_have_one_name() -> None:
    known = Registry()
    known.add(make(one, "shop.one"))
    with pytest.raises(TaskAlreadyRegisteredError, match=r"test_registry\.one already, and now"):
        known.add(make(two, "shop.two", "shop.one"))
    assert known.names() == ["shop.one"]


def test_a_module_loaded_again_replaces_its_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "reloaded_tasks.py"
    file.write_text("import pgqueue\n@pgqueue.task(aliases=('left_out',))\ndef f(): return 1\n")
    module = importlib.import_module("reloaded_tasks")
    assert registry.get("reloaded_tasks.f")() == 1
    assert "left_out" in registry
    file.write_text("import pgqueue\n@pgqueue.task\ndef f(): return 22\n")
    importlib.reload(module)
    assert registry.get("reloaded_tasks.f")() == 22
    assert "left_out" not in registry


def test_a_finder_gives_the_tasks_of_its_prefix() -> None:
    known = Registry()
    asked: list[str] = []

    def find(name: str) -> Task[..., Any]:
        asked.append(name)
        return make(one, name)

    known.add(make(two, "old:kept"))
    known.add_finder("old", find)
    assert known.get("old:shop.one").function is one
    assert known.get("old:shop.one").name == "old:shop.one"
    # One that is registered goes first, and others are not asked for.
    assert known.get("old:kept").function is two
    for name in ("older:shop.one", "old", "shop.old:one"):
        with pytest.raises(TaskNotFoundError):
            known.get(name)
    assert asked == ["old:shop.one"] * 2
    assert known.names() == ["old:kept"]
    known.add_finder("old", lambda name: make(two, name))
    assert known.get("old:shop.one").function is two
