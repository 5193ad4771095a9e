"""Tests of dotted paths."""

import collections
import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgqueue.core.errors import ConfigurationError
from pgqueue.core.importing import dotted_path, import_callable, import_module, import_object


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder on the import path with a package `imported_shop` in it."""
    folder = tmp_path / "imported_shop"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "tasks.py").write_text(
        "LIMIT = 5\n"
        "def send_receipt(): return 'sent'\n"
        "class Mail:\n"
        "    @staticmethod\n"
        "    def send(): return 'mailed'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("imported_shop")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "path", ["imported_shop.tasks.send_receipt", "imported_shop.tasks:send_receipt"]
)
def test_a_path_leads_to_its_function(package: Path, path: str) -> None:
    found = import_callable(path)
    assert found() == "sent"
    assert dotted_path(found) == "imported_shop.tasks.send_receipt"


@pytest.mark.parametrize("path", ["imported_shop.tasks.Mail.send", "imported_shop.tasks:Mail.send"])
def test_a_path_may_go_through_a_class(package: Path, path: str) -> None:
    assert import_callable(path)() == "mailed"


def test_a_path_may_name_a_module_or_any_value(package: Path) -> None:
    assert import_object("imported_shop.tasks") is import_module("imported_shop.tasks")
    assert import_object("imported_shop.tasks.LIMIT") == 5


@pytest.mark.parametrize(
    "path",
    ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a:b:c", ":a", "a:", "../tasks", "a.py\0", "1a"],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="must be a dotted path such as"):
        import_object(path)
    with pytest.raises(ConfigurationError, match="a module must be given as a dotted path"):
        import_module(path)


@pytest.mark.parametrize("path", [None, 5, b"json", "a" * 501])
def test_other_values_are_no_path_either(path: object) -> None:
    with pytest.raises(ConfigurationError, match="must be a dotted path"):
        import_object(path)  # type: ignore[arg-type]


def test_a_colon_has_no_place_in_the_path_of_a_module() -> None:
    with pytest.raises(ConfigurationError, match="a module's path has no colon"):
        import_module("json:loads")


def test_a_module_that_is_not_there_is_named(package: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no module 'imported_shop\.task'"):
        import_module("imported_shop.task")
    with pytest.raises(ConfigurationError, match="there is no module 'nowhere_to_be_found'"):
        import_object("nowhere_to_be_found.tasks.send")
    with pytest.raises(ConfigurationError, match=r"there is no module 'json\.loads'"):
        import_module("json.loads")


def test_a_name_that_is_not_there_gets_the_nearest(package: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        import_callable("imported_shop.tasks.send_reciept")
    assert str(caught.value) == (
        "'imported_shop.tasks.send_reciept' names nothing; module 'imported_shop.tasks' has no "
        "'send_reciept'; did you mean 'send_receipt'?"
    )
    with pytest.raises(ConfigurationError, match="'Mail' has no 'sendd'; did you mean 'send'"):
        import_callable("imported_shop.tasks:Mail.sendd")


def test_what_cannot_be_called_is_refused(package: Path) -> None:
    with pytest.raises(ConfigurationError, match="it is a value of type int"):
        import_callable("imported_shop.tasks.LIMIT")
    with pytest.raises(ConfigurationError, match="it is a value of type module"):
        import_callable("imported_shop.tasks")


def test_an_error_inside_a_module_comes_through(package: Path) -> None:
    (package / "broken.py").write_text("1 / 0\n")
    (package / "needy.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(ZeroDivisionError):
        import_object("imported_shop.broken.run")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        import_object("imported_shop.needy.run")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        import_module("imported_shop.needy")


def test_paths_of_functions_and_classes() -> None:
    assert dotted_path(json.loads) == "json.loads"
    assert dotted_path(collections.Counter) == "collections.Counter"
    assert dotted_path(json.JSONDecoder.decode) == "json.decoder.JSONDecoder.decode"


def test_what_another_process_could_not_find_has_no_path() -> None:
    def local() -> None: ...

    with pytest.raises(ConfigurationError, match=r"'.*<locals>\.local' has no dotted path"):
        dotted_path(local)
    with pytest.raises(ConfigurationError, match=r"<lambda>.* has no dotted path"):
        dotted_path(lambda: None)
    with pytest.raises(ConfigurationError, match="a value of type partial has no dotted path"):
        dotted_path(functools.partial(local))
    with pytest.raises(ConfigurationError, match="a bound method has no dotted path"):
        dotted_path(Path("/").exists)
