"""Count what a statement costs.

EXPLAIN does not look into functions, but the counters of its topmost node are those of the session,
so that whatever the functions under it read and write is in them.
"""

import dataclasses
import json
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING OFF, FORMAT JSON) "


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cost:
    """What one statement cost.

    Attributes:
        buffers: pages it looked at, wherever they were, temporary ones included.
        wal_bytes: what it wrote to the log, without the commit.
    """

    buffers: int
    wal_bytes: int


def cost(c: Connection, query: str, parameters: Any = None) -> Cost:
    """Run a statement and count."""
    row = c.execute(_EXPLAIN + query, parameters).fetchone()
    assert row is not None
    found = row[0] if isinstance(row[0], list) else json.loads(row[0])
    plan = found[0]["Plan"]
    buffers = sum(
        plan.get(f"{kind} {what} Blocks", 0)
        for kind in ("Shared", "Local", "Temp")
        for what in ("Hit", "Read")
    )
    return Cost(buffers=buffers, wal_bytes=plan.get("WAL Bytes", 0))


class Taker:
    """A worker that takes jobs and answers them at once; to be made before there are any.

    Args:
        queues: what it takes.
    """

    def __init__(self, c: Connection, *queues: str) -> None:
        self.c = c
        self.queues = list(queues or ["default"])
        self.hint: str | None = None
        self._batch_no = 0
        self._answers: list[dict[str, Any]] = []
        row = c.execute("SELECT pgqueue.register_worker('taker')").fetchone()
        assert row is not None
        self.worker_id: int = row[0]
        # The first calls of a session read the catalog and make plans.
        for _ in range(8):
            self.take(0)
            self.c.execute(*self._call(1, full_scan=True))

    def take(self, most: int, *, full_scan: bool = False) -> list[int]:
        """Answer what was taken last, and take up to so many; gives their ids."""
        row = self.c.execute(*self._call(most, full_scan=full_scan)).fetchone()
        assert row is not None
        job_ids, _, _, self.hint, refused, again, _ = row
        assert not refused
        assert not again
        self._answers = []
        if job_ids:
            ids, times = _array(job_ids), _array([5] * len(job_ids))
            self._answers.append({"batch": self._batch_no, "ok": ids, "us": times})
        return list(job_ids or [])

    def drain(self, batch: int) -> int:
        """Take and answer until nothing is left; gives how many calls it took."""
        calls = 1
        while self.take(batch, full_scan=calls == 1):
            calls += 1
        return calls

    def cost_of_taking(self, most: int, *, full_scan: bool = False) -> Cost:
        """What a call costs that answers what was taken last and takes so many.

        The last of three, which are rolled back: the first one after a bulk load also finds out
        which rows are committed.
        """
        for _ in range(3):
            with self.c.transaction(force_rollback=True):
                found = cost(self.c, *self._call(most, full_scan=full_scan))
        return found

    def _call(self, most: int, *, full_scan: bool) -> tuple[str, dict[str, Any]]:
        self._batch_no += 1
        return (
            "SELECT * FROM pgqueue.work(%(worker_id)s, %(batch_no)s, %(queues)s, %(most)s,"
            " %(outcomes)s, %(hint)s, full_scan => %(full_scan)s)",
            {
                "worker_id": self.worker_id,
                "batch_no": self._batch_no,
                "queues": self.queues,
                "most": most,
                "outcomes": json.dumps(self._answers) if self._answers else None,
                "hint": self.hint,
                "full_scan": full_scan,
            },
        )


def _array(values: list[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"
