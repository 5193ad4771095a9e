"""A package under its old name: the same modules, the same classes."""

import importlib
import operator
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pgqueue import ConfigurationError
from pgqueue.compat import alias
from tests.fixtures.databases import Database
from tests.helpers import ROOT

MARKET = "tests.compat.project.market"


@pytest.fixture
def old_market(market: object) -> Iterator[None]:
    alias.install(MARKET, "old_market")
    yield
    alias.uninstall("old_market")
    assert not [name for name in sys.modules if name.startswith("old_market")]


@pytest.mark.usefixtures("old_market")
def test_there_is_one_module_under_both_names() -> None:
    for name in ("", ".models", ".tasks", ".serving"):
        assert importlib.import_module("old_market" + name) is importlib.import_module(
            MARKET + name
        )
    from tests.compat.project.market import models

    spec = models.__spec__
    assert (models.__name__, spec and spec.name) == (f"{MARKET}.models",) * 2
    namespace: dict[str, Any] = {}
    exec("import old_market.tasks\nfrom old_market.models import Order as O", namespace)
    assert namespace["O"] is models.Order
    assert namespace["old_market"].tasks is importlib.import_module(f"{MARKET}.tasks")
    assert importlib.reload(importlib.import_module("old_market.traps")).__name__ == (
        f"{MARKET}.traps"
    )


def test_modules_are_imported_when_they_are_asked_for(old_market: None) -> None:
    sys.modules.pop(f"{MARKET}.traps", None)
    importlib.import_module("old_market")
    assert importlib.util.find_spec("old_market.traps") is not None
    assert f"{MARKET}.traps" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match=r"old_market\.nowhere"):
        importlib.import_module("old_market.nowhere")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("old_market.broken")


@pytest.mark.usefixtures("old_market")
def test_pickles_of_the_old_name_are_read() -> None:
    from tests.compat.project.market.tasks import Basket

    old = b"cold_market.tasks\nBasket\n."
    assert pickle.loads(old) is Basket
    assert pickle.loads(pickle.dumps(Basket(1))) == Basket(1)


@pytest.mark.usefixtures("old_market")
def test_paths_of_the_old_name_may_run() -> None:
    from pgqueue.compat import paths
    from tests.compat.project.market import tasks

    assert paths.resolve("old_market.tasks.echo") is tasks.echo
    with pytest.raises(paths.PathNotAllowedError):
        paths.resolve("old_market.traps.system")


@pytest.mark.usefixtures("market")
def test_an_app_is_installed_by_its_old_name(old_market: None) -> None:
    from django.apps import apps
    from django.conf import settings
    from django.test import override_settings

    names = ["old_market" if name == MARKET else name for name in settings.INSTALLED_APPS]
    with override_settings(INSTALLED_APPS=names):
        assert apps.get_app_config("market").name == MARKET
        assert not apps.is_installed("old_market")
        assert apps.get_model("market.Order") is importlib.import_module("old_market.models").Order


def test_a_name_must_be_free(old_market: None) -> None:
    alias.install(MARKET, "old_market")
    with pytest.raises(ConfigurationError, match="old_market is another name of tests"):
        alias.install("json", "old_market")
    with pytest.raises(ConfigurationError, match=r"imported already, from .*install_as\(\) before"):
        alias.install(MARKET, "json")
    for name in ("", "a.b", "1", 3):
        with pytest.raises(ConfigurationError, match="must be one word"):
            alias.install(MARKET, name)  # type: ignore[arg-type]


IDENTITY = """
import importlib.util, pickle, pkgutil, sys
import django
django.setup()
from django.apps import apps
from pgqueue.compat.alias import FACADES
seen = 0
for old, package in FACADES.items():
    if not apps.is_installed(package):
        continue
    assert apps.is_installed(old) and not apps.is_installed(old + "s")
    own = importlib.import_module(package)
    assert importlib.import_module(old) is own
    own.install_as()
    for found in pkgutil.walk_packages(own.__path__, ""):
        if found.name.split(".")[-1].startswith(("_", "0")):
            continue
        one = importlib.import_module(f"{old}.{found.name}")
        assert one is importlib.import_module(f"{package}.{found.name}"), found.name
        assert one.__name__ == one.__spec__.name == f"{package}.{found.name}"
        seen += 1
    if importlib.util.find_spec(f"{package}.models") is None:
        continue
    models = importlib.import_module(f"{old}.models")
    for model in apps.get_app_config(old).get_models():
        name = model.__name__
        kind = getattr(models, name)
        assert isinstance(model(), kind) and kind.__module__.startswith(package)
        assert pickle.loads(f"c{old}.models\\n{name}\\n.".encode()) is model
        seen += 1
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("check", databases=["default"], fail_level="WARNING", stdout=sys.stderr)
print(seen)
"""


def test_the_facades_are_themselves_by_their_old_names(bare_db: Database) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IDENTITY],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
            "PYTHONPATH": os.fspath(ROOT),
            "PGQUEUE_DSN": bare_db.dsn,
            "DJANGO_SETTINGS_MODULE": "tests.compat.project.aliased",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 40
    assert bare_db.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]


def test_the_name_of_an_app_is_equal_to_its_other_names(old_market: None) -> None:
    name = alias.Name(MARKET)
    for same in (MARKET, "old_market"):
        # Whichever of the two is asked.
        assert [same].count(name) == [name].count(same) == 1
        assert not operator.ne(name, same)
    for other in ("market", 3):
        assert [other].count(name) == [name].count(other) == 0
    assert {name: 1}[MARKET] == 1
    alias.uninstall("old_market")
    assert name != "old_market"
    alias.install(MARKET, "old_market")
