"""Each page about a feature shows it in SQL, in Python and in Django, and what it shows for Django
runs; the rest is run by tests/docs."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import DOCS, Page
from tests.fixtures.databases import Database

PAGES = (
    "unique-jobs", "limits", "groups", "flows", "callbacks", "results", "progress-and-logs",
    "batch-tasks",
)  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of an application that can be imported."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("shop", "shop.tasks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("shop", "shop.tasks"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", PAGES)
def test_a_feature_in_django(name: str, project: Database, shop: Path) -> None:
    page = Page(path=DOCS / "howto" / f"{name}.md")
    assert page.blocks("sql")
    assert page.blocks("python")
    line = page.text.count("\n", 0, page.text.index("\n## In Django\n")) + 2
    following = re.search(r"\n## (?!In Django)", page.text[page.text.index("\n## In Django\n") :])
    assert following is not None
    ends = line + page.text[page.text.index("\n## In Django\n") :].count("\n", 0, following.start())
    blocks = [block for block in page.blocks("py") if line < block.line < ends]
    assert [block.file_name for block in blocks] == ["shop/tasks.py", None]
    (shop / "shop" / "tasks.py").write_text(blocks[0].text)
    importlib.invalidate_caches()
    module = ModuleType("example")
    exec(compile(blocks[1].text, str(page.path), "exec"), vars(module))
    assert project.execute("SELECT count(*) > 0 FROM pgqueue.jobs") == [(True,)]
