"""Workers written in SQL: threads that call the worker functions, and misbehave as workers may.

A campaign with them takes a second or two and reaches what real workers reach once a day: replies
that are lost, answers that come late or twice, members that die, freeze or say good-bye with jobs
in their hands, rows that somebody else has locked. The mutants of the SQL are caught with it.
"""

import contextlib
import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psycopg

from tests.faults import dump, history
from tests.faults.checker import Report, check
from tests.faults.history import History

#: Seconds, unless told otherwise.
_LEASE = 1.0
#: Part of the lease for which a member believes that its jobs are its own.
_SURE = 0.7
_KINDS = {"plain": 50, "fails": 10, "crashes": 4, "later": 15, "expires": 6, "cancel": 8, "odd": 7}
_WORK = (
    "SELECT job_ids, payload, hint_out, refused, again FROM pgqueue.work(%s, %s, %s, %s, %s, %s,"
    " full_scan => %s)"
)
_pids = itertools.count(10_000_001)


class Crew:
    """A campaign of SQL workers on one database.

    Args:
        dsn: of a database with the schema and the witnesses (`dump.install`).
        directory: for the history.
        hostile: statements that every member's session begins with.
        strays: whether jobs without a position are filed anew, which hides who lost it.
        judge: whether to dump and judge at the end; a campaign does that itself.
        lease: of its members, in seconds.
    """

    def __init__(
        self,
        dsn: str,
        directory: Path,
        *,
        seed: int = 0,
        jobs: int = 300,
        members: int = 3,
        drain: float = 6.0,
        hostile: tuple[str, ...] = (),
        strays: bool = False,
        judge: bool = True,
        lease: float = _LEASE,
    ) -> None:
        self.strays = strays
        self.judge = judge
        self.dsn = dsn
        self.directory = directory
        self.seed = seed
        self.jobs = jobs
        self.members = members
        self.drain = drain
        self.lease = lease
        self.hostile = hostile
        self.history = History(directory, "crew")
        self.calm = threading.Event()
        self.over = threading.Event()
        self.claims = 0
        self._problems = 0

    def run(self) -> Report | None:
        """Play, wait for the end of all jobs, dump and judge."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            threads = [
                threading.Thread(target=self._guarded, args=(part, number))
                for number, part in enumerate(
                    [self._produce, self._lead, self._lock, *[self._member] * self.members]
                )
            ]
            for thread in threads:
                thread.start()
            threads[0].join()
            self.calm.set()
            deadline = time.monotonic() + self.drain
            while self._unfinished(connection) and time.monotonic() < deadline:
                time.sleep(0.02)
            self.over.set()
            for thread in threads:
                thread.join()
            connection.execute("DELETE FROM pgqueue.workers")
            if not self.judge:
                return None
            dump.write(connection, self.history)
        return check(history.read(self.directory))

    def surprise(self, what: str) -> None:
        """Write down an error that nothing explains; not endlessly."""
        self._problems += 1
        if self._problems <= 20:
            self.history.write("surprise", what=what)

    def _guarded(self, part: Callable[[random.Random], None], number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")
        while True:
            try:
                part(chance)
                return
            except psycopg.Error as error:
                self.surprise(f"{part.__name__}: {error.sqlstate} {error}")
                if self.over.is_set() or part == self._produce:
                    return
                time.sleep(0.01)

    def _unfinished(self, connection: psycopg.Connection[Any]) -> int:
        row = connection.execute(
            "SELECT count(*) FROM pgqueue.jobs AS j WHERE NOT EXISTS"
            " (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)"
        ).fetchone()
        return int(row[0]) if row else 0

    # -- those who write --------------------------------------------------------------------

    def _produce(self, chance: random.Random) -> None:
        written = 0
        with psycopg.connect(self.dsn) as connection:
            while written < self.jobs:
                kinds = chance.choices(
                    list(_KINDS), list(_KINDS.values()), k=chance.choice((1, 1, 2, 12))
                )
                keys = [f"{kind}:{chance.getrandbits(48):012x}" for kind in kinds]
                written += len(keys)
                self.history.write("enq.invoke", keys=keys)
                ids = [self._insert(connection, key, chance) for key in keys]
                if chance.random() < 0.1:
                    connection.rollback()
                    self.history.write("enq.abort", keys=keys)
                    continue
                connection.commit()
                self.history.write("enq.ok", keys=keys, ids=ids)
                time.sleep(chance.uniform(0, 0.01))
                for key, job in zip(keys, ids, strict=True):
                    if key.startswith("cancel:"):
                        connection.execute("SELECT pgqueue.cancel(%s)", (job,))
                        connection.commit()

    def _insert(self, connection: psycopg.Connection[Any], key: str, chance: random.Random) -> int:
        kind = key.partition(":")[0]
        connection.execute("INSERT INTO public.business (key) VALUES (%s)", (key,))
        row = connection.execute(
            "INSERT INTO pgqueue.jobs (task, args, priority, queue, run_at, expires_at) VALUES"
            " ('crew', %s, %s, %s, clock_timestamp() + %s * interval '1 s',"
            " clock_timestamp() + %s * interval '1 s') RETURNING id",
            (
                json.dumps([key]), chance.choice((0, 0, 0, 5, -1)), chance.choice(("a", "a", "b")),
                chance.uniform(0.2, 0.8) if kind == "later" else None,
                chance.choice((0.02, 3600)) if kind == "expires" else None,
            ),
        ).fetchone()  # fmt: skip
        return int(row[0]) if row else 0

    # -- those who tend ---------------------------------------------------------------------

    def _lead(self, _chance: random.Random) -> None:
        with self._session() as connection:
            while not self.over.wait(0.03):
                strays = ("file_strays(0)",) if self.strays else ()
                for call in ("promote()", "rescue()", "expire()", "apply_cancels()", *strays):
                    connection.execute(f"SELECT pgqueue.{call}".encode())

    def _lock(self, chance: random.Random) -> None:
        """Hold rows as a curious person does: nobody may wait for them, nothing may be dropped."""
        with psycopg.connect(self.dsn) as connection:
            while not self.calm.is_set():
                table = chance.choice(("ready_jobs", "running_jobs", "running_jobs"))
                query = f"SELECT FROM pgqueue.{table} ORDER BY random() LIMIT 2"
                connection.execute(f"{query} FOR UPDATE SKIP LOCKED".encode())
                time.sleep(chance.uniform(0, 0.05))
                connection.rollback()

    @contextlib.contextmanager
    def _session(self):  # type: ignore[no-untyped-def]
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '5s'")
            for statement in self.hostile:
                connection.execute(statement.encode())
            yield connection

    def _member(self, chance: random.Random) -> None:
        while not self.over.is_set():
            with self._session() as connection, contextlib.suppress(_Gone):
                Member(self, connection, chance).run()


class _Gone(Exception):
    """A member's life is over; another begins."""


class Member:
    """One worker: registered, with a number for a process id."""

    def __init__(
        self, crew: Crew, connection: psycopg.Connection[Any], chance: random.Random
    ) -> None:
        self.crew = crew
        self.connection = connection
        self.chance = chance
        self.pid = next(_pids)
        self.beat_at = time.monotonic_ns()
        self.id = int(
            self._value(
                "SELECT pgqueue.register_worker('crew', pid => %s, lease =>"
                " make_interval(secs => %s))",
                self.pid % 1_000_000, crew.lease,
            )
        )  # fmt: skip
        self.batch = 0
        self.hint: str | None = None
        self.answers: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.zombies: list[dict[str, Any]] = []

    def run(self) -> None:
        """Live: claim, run, answer, and now and then do what workers do at their worst."""
        while not self.crew.over.is_set():
            self._beat()
            lines = self._work(self.chance.choice((1, 1, 3, 8)))
            batch = self.batch
            self._haunt()
            misery = 1.0 if self.crew.calm.is_set() else self.chance.random()
            if misery < 0.06:
                self._lose_reply()
            elif misery < 0.10:
                self._die(lines)
            elif misery < 0.12:
                self._say_good_bye(lines)
            elif misery < 0.14:
                self._freeze(lines, batch)
            else:
                self._run(lines, batch)
            if misery < 0.3 and self.sent:
                # Late, and a second time: it must change nothing.
                self._send([self.chance.choice(self.sent)], 0)
            if not lines:
                time.sleep(0.01)

    # -- calls ------------------------------------------------------------------------------

    def _value(self, query: str, *values: object) -> Any:
        row = self.connection.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    def _work(self, most: int) -> list[Any]:
        answers, self.answers = self.answers, []
        return self._send(answers, most)

    def _send(self, answers: list[dict[str, Any]], most: int) -> list[Any]:
        self.batch += 1
        try:
            row = self.connection.execute(
                _WORK,
                (
                    self.id, self.batch, ["*"], most, json.dumps(answers) if answers else None,
                    self.hint, self.chance.random() < 0.3,
                ),
            ).fetchone()  # fmt: skip
        except psycopg.Error as error:
            if error.sqlstate != "PQ005":
                raise
            # Given up as lost: everything of ours is somebody else's.
            self._give_up()
        assert row is not None
        ids, payload, self.hint, refused, again = row
        if most:
            self.sent = [*self.sent, *answers][-20:]
        self.crew.history.write("refused", n=len(refused or ()))
        for answer in answers:
            kept = [one for one in answer["rest"] if one["id"] in set(again or ())]
            if kept:
                self.answers.append({"batch": answer["batch"], "rest": kept})
        self.crew.claims += 1
        if most:
            self.crew.history.write("claim", limit=most, ids=ids or [])
        return [json.loads(line) for line in (payload or "").splitlines()]

    def _beat(self) -> None:
        """Give a sign of life, from which the lease counts if it is taken."""
        begun = time.monotonic_ns()
        if not self._value("SELECT known FROM pgqueue.beat(%s)", self.id):
            self._give_up()
        self.beat_at = begun

    def _is_late(self) -> bool:
        """Whether so much of the lease is over that its jobs may be others' any moment."""
        return time.monotonic_ns() - self.beat_at > _SURE * 1e9 * self.crew.lease

    def _give_up(self) -> NoReturn:
        """End: everything of ours is somebody else's, or will be."""
        if self._is_late():
            self._fault("is late", at=self.beat_at)
        else:
            self.crew.surprise("a worker was given up that had given a sign of life")
        self._bury()
        raise _Gone

    # -- running ----------------------------------------------------------------------------

    def _start(self, line: list[Any]) -> dict[str, Any]:
        mine = {"key": line[4][0], "attempt": line[1], "pid": self.pid}
        self.crew.history.write("start", **mine, boss=self.pid)
        return mine

    def _run(self, lines: list[Any], batch: int) -> None:
        rest = []
        for line in lines:
            kind = line[4][0].partition(":")[0]
            if kind == "odd" and self.chance.random() < 0.5 and not self.crew.calm.is_set():
                rest.append({"id": line[0], "state": self.chance.choice(("unstarted",))})
                continue
            if self._is_late():
                # Whoever was held up starts nothing any more, as a worker that fences itself.
                self._give_up()
            mine = self._start(line)
            time.sleep(self.chance.uniform(0, 0.003))
            rest.append(self._end(line, mine, kind))
        if rest:
            self.answers.append({"batch": batch, "rest": rest})

    def _end(self, line: list[Any], mine: dict[str, Any], kind: str) -> dict[str, Any]:
        first = line[1] - line[2] == 1
        found = {"id": line[0], "us": 1000}
        if kind == "fails" and first:
            self.crew.history.write("end", **mine, how="ValueError")
            return {**found, "state": "retry", "delay": 0.05, "kind": "ValueError", "message": "x"}
        if kind == "crashes" and line[1] == 1:
            # Its child died: the execution has no end, and another process comes.
            self.crew.history.write("end", **mine, how="crashed")
            return {**found, "state": "crashed", "kind": "crashed", "message": "killed"}
        self.crew.history.write("end", **mine, how="ok")
        return {**found, "state": "succeeded"}

    # -- misery -----------------------------------------------------------------------------

    def _lose_reply(self) -> None:
        """Not to have read what was claimed: ask what we hold, give back what we do not know."""
        rows = self.connection.execute(
            "SELECT job_id, batch_no FROM pgqueue.held(%s)", (self.id,)
        ).fetchall()
        known = {one["id"] for answer in self.answers for one in answer["rest"]}
        for job, batch in rows:
            if job not in known:
                rest = [{"id": job, "state": "unstarted"}]
                self.answers.append({"batch": batch, "rest": rest})
                # But a child had it after all, and will say so.
                done = [{"id": job, "state": "succeeded"}]
                self.zombies.append({"batch": batch, "rest": done})

    def _haunt(self) -> None:
        """Tell what became of jobs that were given back: others have them now, or we again."""
        pending = {one["id"] for answer in self.answers for one in answer["rest"]}
        late = [one for one in self.zombies if one["rest"][0]["id"] not in pending]
        if late:
            self._send(late, 0)
            self.zombies = [one for one in self.zombies if one not in late]

    def _die(self, lines: list[Any]) -> None:
        for line in lines[:2]:
            self._start(line)
        self._fault("dies")
        self._bury()
        raise _Gone

    def _say_good_bye(self, lines: list[Any]) -> None:
        for line in lines[:1]:
            self._start(line)
        self._fault("says good-bye")
        self._bury()
        self._value("SELECT pgqueue.forget_worker(%s)", self.id)
        raise _Gone

    def _freeze(self, lines: list[Any], batch: int) -> None:
        """Have the answers, and wake when the lease is over: they come too late."""
        self.crew.history.write("fault.on", what="freezes", scope="process", targets=[self.pid])
        try:
            self._run(lines, batch)
            time.sleep(self.crew.lease + 0.2)
            self._work(0)
        finally:
            self.crew.history.write(
                "fault.off", what="freezes", scope="process", targets=[self.pid]
            )

    def _fault(self, what: str, at: int | None = None) -> None:
        write, targets = self.crew.history.write, [self.pid]
        write("fault.on", moment=at, what=what, scope="process", targets=targets)
        write("fault.off", what=what, scope="process", targets=targets)

    def _bury(self) -> None:
        self.crew.history.write("proc.dead", pid=self.pid)
