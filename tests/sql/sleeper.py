"""The sleeper's side of the doorbell, one step at a time, and what the tests of it share."""

import itertools
from typing import Any

import psycopg

from tests.fixtures.databases import Database
from tests.helpers import eventually

INSERT = "INSERT INTO pgqueue.jobs (task) VALUES ('task')"
INSERT_INTO = "INSERT INTO pgqueue.jobs (task, queue) VALUES ('task', %s)"

#: Classes of advisory locks.
SLEEP, WRITING = 70677101, 70677102

Connection = psycopg.Connection[Any]


def locks(c: Connection, key: int) -> set[int]:
    """The buckets of this class that somebody holds."""
    query = """
        SELECT objid::integer FROM pg_locks
        WHERE locktype = 'advisory' AND classid = %s
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
    return {row[0] for row in c.execute(query, (key,))}


def bucket(c: Connection, queue: str) -> int:
    """The bucket of a queue."""
    row = c.execute("SELECT pgqueue.bucket(%s)", (queue,)).fetchone()
    assert row is not None
    return int(row[0])


def apart(c: Connection, number: int) -> list[str]:
    """Names of queues that do not share a bucket."""
    found: dict[int, str] = {}
    for name in map("queue{}".format, itertools.count()):
        found.setdefault(bucket(c, name), name)
        if len(found) == number:
            break
    return list(found.values())


_marks = itertools.count(1)


class SleeperSession:
    """A session that listens and does the steps S1 to S5 when it is told.

    Args:
        queues: what it sleeps on.
        leader: whether it also waits for jobs that fall due soon.
    """

    def __init__(self, db: Database, *queues: str, leader: bool = False) -> None:
        self.c = db.connect()
        self.queues = list(queues or ["default"])
        self.leader = leader
        self.writers: list[str] = []
        self._heard: list[tuple[str, str]] = []
        self.c.add_notify_handler(
            lambda notification: self._heard.append((notification.channel, notification.payload))
        )
        self.c.execute("LISTEN pgqueue")
        self.c.execute("LISTEN pgqueue_control")

    def arm(self) -> bool:
        """S1 and S2; gives whether it was let."""
        row = self._one("SELECT * FROM pgqueue.arm(%s, %s)", self.queues, self.leader)
        self.writers = row[1]
        return bool(row[0])

    def must_wait(self) -> bool:
        """S3: whether a writer is left that may commit without ringing."""
        return bool(self._one("SELECT pgqueue.still_writing(%s)", self.writers)[0])

    def finds(self) -> bool:
        """S4: whether there is a job."""
        return bool(self._one("SELECT pgqueue.waiting(%s)", self.queues)[0])

    def disarm(self) -> None:
        """Wake up."""
        self._one("SELECT pgqueue.disarm(%s, %s)", self.queues, self.leader)

    def heard(self, channel: str = "pgqueue") -> list[str]:
        """The payloads that arrived since it was last asked.

        Notifications come in the order of their commits, so that what was sent before our own mark
        has come once the mark has.
        """
        mark = (channel, f"mark {next(_marks)}")
        self.c.execute("SELECT pg_notify(%s, %s)", mark)
        eventually(lambda: self.c.execute("SELECT 1") and mark in self._heard)
        heard = [payload for sent, payload in self._heard if sent == channel]
        self._heard = [one for one in self._heard if one[0] != channel]
        return heard[:-1]

    def _one(self, query: str, *parameters: Any) -> Any:
        return self.c.execute(query, parameters).fetchone()
