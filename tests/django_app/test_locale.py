"""The translations that are shipped: complete, compiled, and used."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.helpers import ROOT

#: The folders of apps: the native one, and the facades of older queues.
APPS: Final = [
    ROOT / "pgqueue" / "django",
    *sorted(path.parent for path in (ROOT / "pgqueue" / "compat").glob("*/apps.py")),
]
LOCALES: Final = [folder for app in APPS for folder in sorted(app.glob("locale/*/LC_MESSAGES"))]
#: What marks a text in code, by how many of its arguments are texts.
CALLS: Final = {"_": 1, "gettext": 1, "gettext_lazy": 1, "ngettext": 2, "ngettext_lazy": 2}
PLACES: Final = re.compile(r"%(?:\(\w+\))?[sd]|%%")

Texts = dict[str, tuple[str, ...]]


def of_code(app: Path) -> Iterator[str]:
    """Give what code and templates of an app mark for translation."""
    for path in app.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                for text in node.args[: CALLS.get(node.func.id, 0)]:
                    if isinstance(text, ast.Constant):
                        yield str(text.value)
    for path in app.rglob("*.html"):
        page = path.read_text()
        for text in re.findall(r"""\{% translate ["'](.+?)["'] %\}""", page):
            yield text.replace("%", "%%")
        for block in re.findall(
            r"\{% blocktranslate.*?%\}(.*?)\{% endblocktranslate %\}", page, re.S
        ):
            for part in re.split(r"\{% plural %\}", block):
                yield re.sub(r"\{\{ (\w+) \}\}", r"%(\1)s", part.replace("%", "%%"))


def of_source(folder: Path) -> Texts:
    """Read a catalogue as people write it: texts, or text and plural, with their translations."""
    found: Texts = {}
    for block in (folder / "django.po").read_text().split("\n\n")[1:]:
        lines = dict(re.findall(r'^(msg\S*(?:\[\d\])?) "(.*)"$', block, re.M))
        texts = {name: text.replace('\\"', '"') for name, text in lines.items()}
        text, *others = texts.values()
        found[text] = tuple(others)
    return found


@pytest.mark.parametrize("folder", LOCALES, ids=lambda folder: folder.parts[-4])
def test_a_catalogue_is_complete_and_compiled(folder: Path) -> None:
    source = of_source(folder)
    plurals = {texts[0] for texts in source.values() if len(texts) == 3}
    assert {*source, *plurals} == set(of_code(folder.parents[2]))
    with (folder / "django.mo").open("rb") as compiled:
        catalogue: Any = gettext.GNUTranslations(compiled)
    for text, texts in source.items():
        if len(texts) == 1:
            (translated,) = texts
            assert catalogue.gettext(text) == translated
            assert sorted(PLACES.findall(text)) == sorted(PLACES.findall(translated)), text
        else:
            plural, one, several = texts
            for number, original, translated in ((1, text, one), (2, plural, several)):
                assert catalogue.ngettext(text, plural, number) == translated
                assert set(PLACES.findall(translated)) == set(PLACES.findall(original)), text
        assert all(texts), text


def test_there_are_catalogues() -> None:
    assert [folder.parent.name for folder in LOCALES] == ["de"] * len(APPS)
    assert len(APPS) == 4


def test_catalogues_agree() -> None:
    """Django merges those of all apps, so that a text has one translation."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for folder in LOCALES:
        for text, texts in of_source(folder).items():
            assert found.setdefault((folder.parent.name, text), texts) == texts, text


def test_rules_are_told_in_the_language_that_is_active(project: object) -> None:
    from django.utils.translation import override

    from pgqueue.django.admin.rule_words import in_words

    rule = "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;BYHOUR=9;BYMINUTE=30"
    with override("de"):
        assert in_words("rrule", rule, "UTC") == (
            "alle 2 Wochen am Montag und Freitag um 09:30 (UTC)"
        )
