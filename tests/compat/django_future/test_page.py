"""The page that tells how to move: its examples run, and its settings are accepted."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.compat.django_future.conftest import statuses
from tests.docs.pages import DOCS, Page

PAGE = Page(path=DOCS / "howto" / "from-django-future.md")


def test_its_examples_run(
    future: Any,
    new_order: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.conf import settings
    from django.test import override_settings

    from pgqueue.compat import alias
    from tests.compat.project.market.models import Order

    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "handlers.py").write_text(
        "def dosomething(*args, **kwargs):\n    pass\n\n\ndef greet(customer):\n    return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def greet(self: Any) -> int:
        return 2

    greet.__module__ = Order.__module__
    monkeypatch.setattr(Order, "greet", greet, raising=False)
    (example,) = (one for one in PAGE.blocks("py") if "schedule_job(" in one.text)
    future.install_as()
    apps = [*settings.INSTALLED_APPS, "shop"]
    try:
        with override_settings(INSTALLED_APPS=apps):
            exec(example.text, {"customer": new_order("1")})
    finally:
        alias.uninstall("django_future")
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]
    assert statuses() == ["scheduled"] * 3 + ["complete"] * 2


def test_its_settings_are_accepted(future: Any) -> None:
    from django.core.checks import run_checks
    from django.test import override_settings

    from pgqueue.compat.django_future import conf

    found = [one.text for one in PAGE.blocks("py") if one.text.startswith("PGQUEUE = ")]
    assert len(found) == 3
    for text in found:
        names: dict[str, Any] = {}
        exec(text, names)
        with override_settings(PGQUEUE=names["PGQUEUE"]):
            assert [one.msg for one in run_checks() if "PGQUEUE" in one.msg] == []
    table = PAGE.text.partition("## Settings")[2]
    for name, (default, *_) in conf.CHOICES.items():
        word = f'"{default}"' if isinstance(default, str) else str(default)
        assert f"| `{name}` | `{word}`" in table
