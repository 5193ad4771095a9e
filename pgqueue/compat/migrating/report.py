"""What was moved, or would be, and what was not."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

#: Rows that are named for each table; of others only the number is told.
MOST: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Say what stays in the old queue, beside rows that were refused one by one.

    Attributes:
        what: it is, in words, several of them.
        where: it is.
        count: how many; None where that cannot be told from here.
        why: it cannot be moved; or cannot be counted.
        do: what to do about it.
    """

    what: str
    where: str
    count: int | None
    why: str
    do: str

    def __str__(self) -> str:
        because = f": {self.why}" if self.why else ""
        if self.count is None:
            return (
                f"{self.what} that wait in {self.where} are not moved, and how many they are is "
                f"not known{because}; {self.do}"
            )
        return (
            f"{self.count} {self.what} wait in {self.where} and are not moved{because}; {self.do}"
        )

    def facts(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return asdict(self)


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
        alike: how many of them were refused for what they are, not for what stands in them.
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
    alike: dict[tuple[str, str, str], int] = field(default_factory=dict)
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
        elsewhere: what waits in no table.
    """

    library: str
    applied: bool
    tallies: list[Tally] = field(default_factory=list)
    kept: str = ""
    elsewhere: list[Stay] = field(default_factory=list)

    @property
    def stays(self) -> list[Stay]:
        """What stays in the old queue for what it is."""
        alike = [
            Stay(what=what, where=tally.table, count=count, why=why, do=do)
            for tally in self.tallies
            for (what, why, do), count in tally.alike.items()
        ]
        return [*alike, *self.elsewhere]

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
            "stays": [stay.facts() for stay in self.stays],
            "tables": [tally.facts() for tally in self.tallies],
        }
