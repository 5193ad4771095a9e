"""Tables on terminals of any width lose nothing."""

import pytest
from rich.cells import cell_len

from pgqueue.cli.tables import draw

LETTERS = "".join(map(chr, range(ord("\u0410"), ord("\u0450"))))
ROWS = [
    ["1", "2030-01-31T09:00:00Z", LETTERS, "[red]a b[/red] [link=x]c[/link]"],
    ["4711", "-", "日本語の名前", ""],
]


@pytest.mark.parametrize("width", [*range(20, 100, 7), 200])
def test_nothing_is_lost(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    draw(["id", "created at", "name", "why"], ROWS)
    seen = capsys.readouterr().out
    assert all(cell_len(line) <= width for line in seen.splitlines())
    assert set(LETTERS) <= set(seen)
    assert "2030-01-31T09:00:00Z" in seen or width < 35
    assert set("日本語の名前") <= set(seen)
    assert sorted("".join(seen.split())).count("[") == 4


def test_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    draw(["id", "name"], [])
    assert "id  name" in capsys.readouterr().out
