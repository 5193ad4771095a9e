"""Tables on a terminal: the one file that imports rich, itself imported when there is one."""

import re
from collections.abc import Sequence
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

#: Times stay whole, and what is as short as this; longer cells may be folded down to this width.
_SHORT: Final = 10
_WHOLE = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z|-")
_GAP: Final = 2


def draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw rows below headings; where the terminal is too narrow for that, one below the other."""
    console = Console()
    columns = [[heading, *column] for heading, *column in zip(headings, *rows, strict=True)]
    widths = _share(columns, console.width)
    if widths is None:
        _draw_below(console, headings, rows)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, overflow="fold", width=width)
    for row in rows:
        # As text, not as markup: what stands in brackets is the user's.
        table.add_row(*map(Text, row))
    console.print(table)


def _share(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Give each column its width, those that need little first; None where that is too little."""
    widths = [_least(column) for column in columns]
    spare = room - sum(widths) - _GAP * (len(widths) - 1)
    if spare < 0:
        return None
    wanted = [
        max(map(cell_len, column)) - width for column, width in zip(columns, widths, strict=True)
    ]
    for place in sorted(range(len(widths)), key=wanted.__getitem__):
        more = min(spare, wanted[place])
        widths[place] += more
        spare -= more
    return widths


def _least(column: Sequence[str]) -> int:
    """Give the width that a column must have; its first cell is the heading."""
    heading, *cells = column
    width = max(map(cell_len, column))
    if cells and all(map(_WHOLE.fullmatch, cells)):
        return width
    longest_word = max(map(len, heading.split()))
    return min(width, max(_SHORT, longest_word))


def _draw_below(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw each row as lines of names and values."""
    for row in rows:
        lines = Table.grid(padding=(0, _GAP, 0, 0))
        lines.add_column(style="bold", no_wrap=True)
        lines.add_column(overflow="fold")
        for heading, cell in zip(headings, row, strict=True):
            lines.add_row(heading, Text(cell))
        console.print(Rule(style="dim"))
        console.print(lines)
