"""Tables on a terminal: the one file that imports rich, itself imported when there is one."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw rows below headings, as wide as the terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # As text, not as markup: what stands in brackets is the user's.
        table.add_row(*map(Text, row))
    Console().print(table)
