"""What was moved, or would be, and what was not."""

from dataclasses import dataclass, field
from typing import Any, Final

#: Rows that are named for each table; of others only the number is told.
MOST: Final = 1000


@dataclass(slots=True, kw_only=True)
class Tally:
    """Count the rows of one table.

    Attributes:
        what: they are, in words.
        table: where they are.
        missing: whether there is no such table.
        found: rows that were looked at.
        before: those that had been moved before.
        moved: those that were moved now, or would be.
        refused: those that were not, and why, by key.
        count_refused: how many.
        lossy: of those moved, how many had values that could not be read.
        deleted: rows deleted from the old table.
    """

    what: str
    table: str
    missing: bool = False
    found: int = 0
    before: int = 0
    moved: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    count_refused: int = 0
    lossy: int = 0
    deleted: int = 0

    def refuse(self, key: object, why: str) -> None:
        """Note a row that is not moved."""
        self.count_refused += 1
        if len(self.refused) < MOST:
            self.refused[str(key)] = why

    def facts(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "what": self.what,
            "table": self.table,
            "missing": self.missing,
            "found": self.found,
            "moved_before": self.before,
            "moved": self.moved,
            "without_values": self.lossy,
            "refused": self.count_refused,
            "deleted": self.deleted,
            "refusals": [{"id": key, "why": why} for key, why in self.refused.items()],
        }


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of all rows of a library.

    Attributes:
        library: as it was typed.
        applied: whether it was done, or only looked at.
        tallies: of its tables.
        kept: why nothing was deleted though it was to be; empty else.
    """

    library: str
    applied: bool
    tallies: list[Tally] = field(default_factory=list)
    kept: str = ""

    @property
    def refused(self) -> int:
        """Rows that were not moved."""
        return sum(tally.count_refused for tally in self.tallies)

    def facts(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "library": self.library,
            "applied": self.applied,
            "kept": self.kept,
            "tables": [tally.facts() for tally in self.tallies],
        }
