"""Read the pages of the documentation: their text, their fenced blocks, their links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import ROOT

DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"``.+?``|`[^`\n]+`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Attributes:
        line: number of its first line in the page, 1 for the top.
    """

    language: str
    text: str
    line: int

    @property
    def file_name(self) -> str | None:
        """The file that the block is, if its first line is a comment with nothing but a name."""
        found = re.match(r"(?:#|//|--) ([\w./-]+\.\w+)\n", self.text)
        return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page."""

    path: Path

    @property
    def name(self) -> str:
        """The path below the top of the checkout."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without blocks and without code between backticks, line for line."""
        bare = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), self.text)
        return _CODE.sub("", bare)

    def blocks(self, *languages: str) -> list[Block]:
        """Give the fenced blocks of these languages, in order."""
        text = self.text
        return [
            Block(language=found[1], text=found[2], line=text.count("\n", 0, found.start()) + 2)
            for found in _FENCE.finditer(text)
            if found[1] in languages
        ]

    def links(self) -> Iterator[str]:
        """Give the targets of its links."""
        yield from _LINK.findall(_FENCE.sub("", self.text))

    def anchors(self) -> set[str]:
        """Give the fragments under which its headings are found."""
        return {_anchor(heading) for heading in _HEADING.findall(_FENCE.sub("", self.text))}


def pages() -> list[Page]:
    """Give all pages, README and changelog included."""
    top = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "sql" / "README.md"]
    paths = [*(path for path in top if path.exists()), *sorted(DOCS.rglob("*.md"))]
    return [Page(path=path) for path in paths]


def _anchor(heading: str) -> str:
    """Give a heading's fragment as the common forges make it."""
    bare = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", lambda found: found[1] or "", heading).lower()
    return re.sub(r"[^\w\- ]", "", bare).replace(" ", "-")
