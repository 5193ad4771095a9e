"""The pages themselves: links lead somewhere, words are ours, nothing of one machine is in them."""

import re
from pathlib import Path

import pytest

from pgqueue.cli.main import make_parser
from tests.docs.pages import DOCS, Page, pages
from tests.helpers import ROOT

# Words that other queues have for what has a word here (docs/glossary.md), where they could not
# mean anything else.
_STRANGE = (
    r"actors?|brokers?|work items?|semaphores?|mutex(es)?|eta|ttl|time.limits?|retry.count|"
    r"re-?queue[sd]?|reap(s|ed|er)?|dead.letters?|de-?dup\w*|singletons?|misfires?|backfill\w*|"
    r"postpone[sd]?|consumers?|message queues?|job class(es)?"
)
# "No actor, no broker" may be said of others.
_MACHINE = re.compile(r"(?<![\w.])/(?:work|tmp|root|home|Users)/\w|localhost:[0-9]{4,5}/simple")
PAGES = pages()


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Page:
    found: Page = request.param
    return found


def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links():
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), f"{page.name}: {link}"
        assert ROOT in target.parents, f"{page.name}: {link} leads out of the checkout"
        if fragment:
            assert fragment in Page(path=target).anchors(), f"{page.name}: {link}"


def test_words_are_those_of_the_glossary(page: Page) -> None:
    found = re.findall(rf"(?i)\b(?:{_STRANGE})\b", page.prose)
    strange = [match[0] for match in re.finditer(rf"(?i)\b(?:{_STRANGE})\b", page.prose)]
    assert not found, f"{page.name}: {strange}"


def test_nothing_of_one_machine_is_in_it(page: Page) -> None:
    assert _MACHINE.findall(page.text) == []


def test_the_page_begins_with_its_promise_and_an_example(page: Page) -> None:
    kinds = ("howto", "reference", "explanation", "tutorial")
    if page.path.parent.name not in kinds or page.path.parent.parent != DOCS:
        return
    lines = page.text.splitlines()
    assert lines[0].startswith("# "), page.name
    assert lines[1] == ""
    assert lines[2][:1] not in ("", "#", "|", "-", "`"), f"{page.name} must begin with a sentence"
    screen = "\n".join(lines[:40])
    assert re.search(r"^```(python|sql|sh)$", screen, re.MULTILINE), (
        f"{page.name} must show a runnable example on its first screen"
    )


def test_every_page_is_in_the_index() -> None:
    index = Page(path=DOCS / "index.md")
    linked = {(DOCS / link).resolve() for link in index.links()}
    assert set(DOCS.rglob("*.md")) - linked - {index.path} == set()


def test_the_readme_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    block = [line for line in lines[:6] if not line.startswith("```")]
    assert "venv" in block[0]
    assert block[1:3] == [
        'python -m pip install -e ".[demo]" && python -m pgqueue demo',
        'python -m pip install -e ".[test]" && python -m pytest',
    ]


def test_the_changelog_has_unreleased_on_top() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    sections = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_licence_is_named_where_it_is_looked_for() -> None:
    assert "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "(LICENSE)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_parser_has_a_page_of_its_own() -> None:
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert make_parser("0").children
    assert all(f"## {name}\n" in text for name in make_parser("0").children)


def test_pages_are_found() -> None:
    assert len(PAGES) > 15
    assert all(isinstance(one.path, Path) for one in PAGES)
