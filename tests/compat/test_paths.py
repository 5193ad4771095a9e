"""Which dotted paths may run, and what is said of the others."""

import math
import sys
from typing import Any

import pytest

MARKET = "tests.compat.project.market"


@pytest.fixture
def paths(shared_market: object) -> Any:
    from pgqueue.compat import paths

    return paths


@pytest.fixture
def allow(shared_market: object) -> Any:
    from django.test import override_settings

    def allow(*entries: Any) -> Any:
        return override_settings(PGQUEUE={"ALLOW": list(entries)})

    return allow


@pytest.mark.parametrize(
    ("path", "result"),
    [
        (f"{MARKET}.tasks.echo", [[], {}]),
        (f"{MARKET}.tasks.Basket.total", 0),
        # Taken in from a module that is allowed as well.
        (f"{MARKET}.traps.echo", [[], {}]),
        (f"{MARKET}.traps.Basket.total", 0),
        # Private to a module of the project.
        (f"{MARKET}.traps._private", None),
        (f"{MARKET}.traps.Traps._hidden", None),
    ],
)
def test_functions_and_methods_of_the_projects_apps_run(
    paths: Any, path: str, result: object
) -> None:
    paths.check(path)
    assert paths.resolve(path)() == result


def test_an_inherited_method_runs(paths: Any) -> None:
    from django.db.models import Model

    assert paths.resolve(f"{MARKET}.models.Order.save") is Model.save


@pytest.mark.parametrize(
    "path",
    [
        f"{MARKET}.traps.os.system",
        f"{MARKET}.traps.subprocess.run",
        f"{MARKET}.traps.system",
        f"{MARKET}.traps.Path",
        f"{MARKET}.traps.Path.cwd",
        f"{MARKET}.traps.Traps.run",
        f"{MARKET}.traps.Traps.inner",
        f"{MARKET}.traps._system",
        f"{MARKET}.traps.__builtins__",
        f"{MARKET}.traps.echo.__globals__",
        f"{MARKET}.traps.part",
        f"{MARKET}.traps.call_command",
        f"{MARKET}.traps.make_password",
        f"{MARKET}.__init__.echo",
        "os.system",
        "posix.system",
        "subprocess.run",
        "builtins.eval",
        "eval",
        "list",
        "importlib.import_module",
        "pickle.loads",
        "django.contrib.auth.hashers.make_password",
        "django.core.management.call_command",
        "django.core.management.execute_from_command_line",
        "pgqueue.task",
        "json.loads",
        "tests.helpers.run_cli",
    ],
)
def test_others_are_refused_at_enqueue_and_where_they_run(paths: Any, path: str) -> None:
    with pytest.raises(paths.PathNotAllowedError, match=r'add \'.*PGQUEUE\["ALLOW"\]'):
        paths.check(path)
    with pytest.raises(paths.PathNotAllowedError):
        paths.resolve(path)


@pytest.mark.parametrize(
    "path",
    [
        f"{MARKET}.tasks.nowhere",
        f"{MARKET}.nowhere.echo",
        f"{MARKET}.traps.constant",
        f"{MARKET}.traps.Traps.mine.own",
        "nowhere_at_all.echo",
        "",
        "echo me",
        f"{MARKET}.tasks:echo",
        f"{MARKET}..echo",
        ".echo",
        "x" * 401,
        3,
        None,
    ],
)
def test_what_is_not_there_is_said_where_it_runs(paths: Any, path: Any) -> None:
    paths.check(path)
    with pytest.raises(paths.PathNotFoundError):
        paths.resolve(path)


def test_an_error_in_a_module_comes_through_where_it_runs(paths: Any) -> None:
    paths.check(f"{MARKET}.broken.echo")
    with pytest.raises(ZeroDivisionError):
        paths.resolve(f"{MARKET}.broken.echo")


def test_nothing_is_imported_that_is_not_allowed(paths: Any) -> None:
    assert "this" not in sys.modules
    for path in ("this.echo", "this.that.echo", "antigravity.webbrowser.open"):
        with pytest.raises(paths.PathNotAllowedError):
            paths.resolve(path)
    assert not {"this", "antigravity"} & set(sys.modules)


def test_a_pattern_allows_what_is_defined_in_a_module(paths: Any, allow: Any) -> None:
    with allow("math.*", "json.decoder.*"):
        assert paths.resolve("math.floor") is math.floor
        assert paths.resolve("json.decoder.JSONDecoder.decode")
        private = "json.decoder._decode_uXXXX"
        for path in ("json.loads", "json.decoder.scanner.make_scanner", private):
            with pytest.raises(Exception, match=r"names nothing|may not be run"):
                paths.resolve(path)
    with (
        allow(),
        pytest.raises(paths.PathNotAllowedError, match=r"add 'math\.\*' or 'math\.floor'"),
    ):
        paths.resolve("math.floor")


def test_some_modules_need_each_function_named(paths: Any, allow: Any) -> None:
    import os

    with allow("os.*", "builtins.*"):
        for path in ("os.getcwd", "list"):
            with pytest.raises(paths.PathNotAllowedError, match=f"add '{path}' to"):
                paths.resolve(path)
    with allow("os.getcwd", "list", "json.decoder._decode_uXXXX", f"{MARKET}.traps.part"):
        assert paths.resolve("os.getcwd") is os.getcwd
        assert paths.resolve("list") is list
        assert paths.resolve("json.decoder._decode_uXXXX")
        assert paths.resolve(f"{MARKET}.traps.part")() == [[1], {}]


@pytest.mark.parametrize(
    "path", ["django.core.management.call_command", f"{MARKET}.traps.call_command"]
)
def test_commands_have_a_list_of_their_own(paths: Any, allow: Any, path: str) -> None:
    with allow(path), pytest.raises(paths.PathNotAllowedError, match="the command 'flush'"):
        paths.check(path, ["flush"])
    with allow(f"{path}:check", f"{path}:clearsessions"):
        paths.check(path, ["check"])
        assert not paths.resolve(path)("check", verbosity=0)
        for words in (["flush"], [], [3], [["check"]]):
            with pytest.raises(paths.PathNotAllowedError, match=r"call_command:"):
                paths.check(path, words)
            with pytest.raises(paths.PathNotAllowedError):
                paths.resolve(path)(*words)
    with allow(f"{path}:*"):
        paths.check(path, ["migrate"])


def test_a_setting_that_is_no_list_allows_nothing(paths: Any) -> None:
    from django.test import override_settings

    for given in ("math.*", None, 3, [3], {"math.*": 1}):
        with override_settings(PGQUEUE={"ALLOW": given}), pytest.raises(paths.PathNotAllowedError):
            paths.resolve("math.floor")


def test_a_function_has_a_path(paths: Any) -> None:
    from tests.compat.project.market import tasks

    assert paths.path_of(tasks.echo) == f"{MARKET}.tasks.echo"
    assert paths.path_of(tasks.Basket.total) == f"{MARKET}.tasks.Basket.total"
    assert paths.path_of(tasks.Basket.label) == f"{MARKET}.tasks.Basket.label"
    assert paths.path_of(tasks.Basket) == f"{MARKET}.tasks.Basket"
    assert paths.path_of(math.floor) == "math.floor"


def test_some_have_none(paths: Any) -> None:
    from pgqueue import ConfigurationError
    from tests.compat.project.market.traps import Traps, part

    for function in (lambda: 1, Traps().mine, part, 3):
        with pytest.raises(ConfigurationError, match="has no dotted path"):
            paths.path_of(function)
