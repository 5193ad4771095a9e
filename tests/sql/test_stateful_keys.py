"""Random walks with jobs that have keys: whatever happens to them, keys are right after every step,
and in the end every job can be worked off.

`PGQUEUE_STATEFUL_EXAMPLES=2000` walks longer.
"""

import os
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.sql.calls import column, one, tell, work

Connection = psycopg.Connection[Any]

EXAMPLES = int(os.environ.get("PGQUEUE_STATEFUL_EXAMPLES", "25"))
STEPS = 30
MOST = 2
#: Jobs of a key that may start in an hour, where they have a rate.
RATE = 4

PICKS = st.integers(0, 30)
KEYS = st.sampled_from([None, None, "x", "y"])
OUTCOMES = st.sampled_from(
    ["succeeded", "succeeded", "failed", "cancelled", "retry", "snoozed", "unknown_task", "crashed",
     "interrupted", "unstarted"]
)  # fmt: skip

#: More jobs of a key count than may.
_OVERRUN = """
    SELECT j.concurrency_key FROM pgqueue.jobs AS j
    WHERE EXISTS (SELECT FROM pgqueue.ready_jobs AS r WHERE r.job_id = j.id)
        OR EXISTS (SELECT FROM pgqueue.running_jobs AS r WHERE r.job_id = j.id)
    GROUP BY 1 HAVING j.concurrency_key IS NOT NULL AND count(*) > %s
"""
#: More jobs of a key started in an hour than its rate says; what is ready may start at any time.
_TOO_FAST = """
    SELECT k.key FROM (VALUES ('x'), ('y')) AS k (key)
    WHERE NOT EXISTS (SELECT FROM pgqueue.key_limits AS l WHERE l.key = k.key AND l.rate <> '')
        AND (
            SELECT coalesce(sum(t.n), 0) FROM pgqueue.key_takes AS t
            WHERE t.key = k.key AND t.until > clock_timestamp()
        ) + (SELECT count(*) FROM pgqueue.slots AS s WHERE s.key = 'r:' || k.key) > %s
"""
#: A line that could go on, and nobody is told.
_FORGOTTEN = """
    SELECT b.key FROM pgqueue.blocked_jobs AS b WHERE b.reason = 'concurrency'
        AND (SELECT count(*) FROM pgqueue.slots AS s WHERE s.key = 'k:' || b.key) < %s
        AND NOT EXISTS (
            SELECT FROM pgqueue.offers AS o
            WHERE b.key IN (o.key, o.later_key) OR b.key = ANY (o.keys)
        )
        AND NOT EXISTS (SELECT FROM pgqueue.queues AS q WHERE q.name = b.queue AND q.paused)
        AND NOT EXISTS (SELECT FROM pgqueue.key_limits AS l WHERE l.key = b.key)
"""
#: Two live jobs with one unique key, which neither may have given back.
_TWINS = """
    SELECT j.unique_key FROM pgqueue.jobs AS j
    WHERE j.unique_while IS NULL
        AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
    GROUP BY 1 HAVING j.unique_key IS NOT NULL AND count(*) > 1
"""
_LIVE = """
    SELECT j.id FROM pgqueue.jobs AS j
    WHERE NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
"""


def _retry(c: Connection, job: int, run_at: str | None) -> None:
    """Retry, unless another job has the key by now."""
    try:
        one(c, "SELECT pgqueue.retry(%s, %s)", job, run_at)
    except psycopg.Error as error:
        if error.sqlstate != "PQ006":
            raise


class Walk(RuleBasedStateMachine):
    """Things happen to jobs that have keys."""

    def __init__(self, c: Connection) -> None:
        super().__init__()
        self.c = c
        self.batch = 0

    @initialize()
    def begin(self) -> None:
        self.c.execute("TRUNCATE pgqueue.jobs, pgqueue.queues, pgqueue.workers, pgqueue.key_limits,"
                       " pgqueue.rate_takes RESTART IDENTITY")  # fmt: skip
        self.register()

    def register(self) -> None:
        self.worker: int = one(self.c, "SELECT pgqueue.register_worker('w')")

    def choose(self, pick: int, query: str = "SELECT id FROM pgqueue.jobs") -> int | None:
        found = column(self.c, query + " ORDER BY 1")
        return found[pick % len(found)] if found else None

    @rule(
        unique=KEYS, line=KEYS, turn=KEYS, later=st.booleans(), number=st.integers(1, 3),
        how=st.sampled_from([None, "replace", "reschedule"]), waiting=st.booleans(),
        priority=st.integers(-1, 1), period=st.booleans(), rated=st.booleans(),
        queue=st.sampled_from(["default", "default", "other"]),
    )  # fmt: skip
    def add(
        self, unique: str | None, line: str | None, turn: str | None, later: bool, number: int,
        how: str | None, waiting: bool, priority: int, period: bool, rated: bool, queue: str,
    ) -> None:  # fmt: skip
        self.c.execute(
            "INSERT INTO pgqueue.jobs (task, priority, run_at, unique_key, unique_while,"
            " unique_for, on_duplicate, concurrency_key, max_running, fair_key,"
            " rate, queue)"
            " SELECT 't', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s FROM generate_series(1, %s)",
            (
                priority, "infinity" if later else None, unique,
                "waiting" if unique and waiting else None, "1 h" if unique and period else None,
                how if unique else None, line, MOST if line else None,
                None if line else turn, f"{RATE}/h" if line == "y" or (line and rated) else None,
                queue, number,
            ),
        )  # fmt: skip

    @rule(most=st.integers(1, 4))
    def take(self, most: int) -> None:
        self.batch += 1
        found = work(self.c, self.worker, self.batch, max_jobs=most)
        note(f"took {found.job_ids}")

    @rule(pick=PICKS, outcome=OUTCOMES)
    def tell(self, pick: int, outcome: str) -> None:
        query = "SELECT job_id FROM pgqueue.running_jobs"
        job = self.choose(pick, query)
        if job is not None:
            batch = one(self.c, query.replace("job_id", "batch_no") + " WHERE job_id = %s", job)
            tell(self.c, self.worker, job, outcome, batch_no=batch, delay=3600)

    @rule(pick=PICKS)
    def cancel(self, pick: int) -> None:
        job = self.choose(pick)
        if job is not None:
            one(self.c, "SELECT pgqueue.cancel(%s)", job)

    @rule(pick=PICKS, later=st.booleans())
    def retry(self, pick: int, later: bool) -> None:
        job = self.choose(pick, "SELECT job_id FROM pgqueue.finished_jobs")
        if job is not None:
            _retry(self.c, job, "infinity" if later else None)

    @rule(pick=PICKS, priority=st.integers(-1, 1))
    def set_priority(self, pick: int, priority: int) -> None:
        job = self.choose(pick)
        if job is not None:
            one(self.c, "SELECT pgqueue.set_priority(%s, %s)", job, priority)

    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        job = self.choose(pick)
        if job is not None:
            self.c.execute("DELETE FROM pgqueue.jobs WHERE id = %s", (job,))

    @rule(forgets=st.booleans())
    def lose_the_worker(self, forgets: bool) -> None:
        if forgets:
            one(self.c, "SELECT pgqueue.forget_worker(%s)", self.worker)
        else:
            self.c.execute("UPDATE pgqueue.workers SET heartbeat_at = 'epoch'")
            one(self.c, "SELECT * FROM pgqueue.rescue()")
        self.register()

    @rule(most=st.sampled_from([None, 0, 1, 3]), key=st.sampled_from(["x", "y"]))
    def limit_key(self, most: int | None, key: str) -> None:
        # What counts already may be more than a limit that came later, but not than MOST.
        limit = None if most is None else min(most, MOST)
        self.c.execute("SELECT pgqueue.limit_key(%s, %s)", (key, limit))

    @rule(queue=st.sampled_from(["default", "other"]), pauses=st.booleans())
    def pause(self, queue: str, pauses: bool) -> None:
        one(self.c, f"SELECT pgqueue.{'pause' if pauses else 'resume'}(%s)", queue)

    @rule(pick=PICKS, queue=st.sampled_from(["default", "other"]))
    def set_queue(self, pick: int, queue: str) -> None:
        job = self.choose(pick)
        if job is not None:
            one(self.c, "SELECT pgqueue.set_queue(%s, %s)", job, queue)

    @rule(most=st.sampled_from(["null", "0", "1", "3"]))
    def limit_queue(self, most: str) -> None:
        self.c.execute("SELECT pgqueue.limit_queue('default', %s)", (f'{{"max_running": {most}}}',))

    @rule(hours=st.sampled_from([0, 2]))
    def upkeep(self, hours: int) -> None:
        for call in ("promote", "resume_due", "settle_unique_keys", "apply_cancels"):
            at = f"clock_timestamp() + interval '{hours} hours'"
            one(self.c, f"SELECT count(*) FROM pgqueue.{call}(at => {at})")
        one(self.c, "SELECT swept FROM pgqueue.sweep_unique_keys()")

    @rule()
    def roll_back_what_was_taken(self) -> None:
        with self.c.transaction(force_rollback=True):
            work(self.c, self.worker, self.batch + 1000)

    @invariant()
    def keys_are_right(self) -> None:
        assert self.c.execute("SELECT * FROM pgqueue.check_invariants()").fetchall() == []
        assert column(self.c, _OVERRUN, MOST) == []
        assert column(self.c, _FORGOTTEN, MOST) == []
        assert column(self.c, _TWINS) == []
        # "x" has jobs with a rate and jobs without.
        assert [key for key in column(self.c, _TOO_FAST, RATE) if key == "y"] == []

    def teardown(self) -> None:
        """Whatever happened, all can be worked off."""
        self.c.execute("DELETE FROM pgqueue.key_limits")
        for queue in ("default", "other"):
            one(self.c, "SELECT pgqueue.resume(%s)", queue)
        self.c.execute("INSERT INTO pgqueue.key_limits (key, rate) VALUES ('x', '9999/s'),"
                       " ('y', '9999/s')")  # fmt: skip
        self.c.execute("INSERT INTO pgqueue.offers (key) VALUES ('x'), ('y')")
        self.limit_queue("null")
        self.c.execute("UPDATE pgqueue.scheduled_jobs SET run_at = 'epoch'")
        for _ in range(200):
            one(self.c, "SELECT moved FROM pgqueue.promote()")
            one(self.c, "SELECT pgqueue.settle_unique_keys()")
            self.take(4)
            while column(self.c, "SELECT job_id FROM pgqueue.running_jobs"):
                self.tell(0, "succeeded")
            if not column(self.c, _LIVE):
                break
        assert column(self.c, _LIVE) == []
        self.keys_are_right()
        assert one(self.c, "SELECT count(*) FROM pgqueue.slots") == 0


@pytest.mark.dirty
def test_keys_are_right_whatever_happens(c: Connection) -> None:
    run_state_machine_as_test(
        lambda: Walk(c),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
