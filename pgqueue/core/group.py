"""What a group looks like when read back: values."""

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Hold how far a group is: a row of `pgqueue.group_overview`.

    Attributes:
        state: `open` (more jobs are expected), `closed`, and once all are over `succeeded`,
            `failed` (one failed or expired) or `cancelled`.
        total: members; a group inside this one counts as one.
        waiting: those that are not running and not over.
        skipped: those that were not needed: they run only if others fail.
        remaining: seconds until the end at the pace so far; None when nobody can tell.
    """

    id: int
    name: str | None
    state: str
    total: int
    waiting: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    skipped: int
    remaining: float | None
    created_at: dt.datetime
    ended_at: dt.datetime | None

    @property
    def is_over(self) -> bool:
        """Tell whether the group is closed and all its members are over."""
        return self.state not in ("open", "closed")

    @property
    def done(self) -> int:
        """How many members are over."""
        return self.succeeded + self.failed + self.cancelled + self.skipped
