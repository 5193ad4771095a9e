"""Mutants of the SQL: one object of the schema with one thing wrong, each to be caught.

A mutant is installed by CREATE OR REPLACE of the function in its file, with pieces of the text
exchanged; a piece that is not there any more is an error, so that mutants keep up with the SQL.
"""

import re
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.helpers import ROOT

_FUNCTION = re.compile(r"^CREATE FUNCTION .*?^\$\$;$", re.MULTILINE | re.DOTALL)
_IN_ORDER = "FOR UPDATE SKIP LOCKED\n                LIMIT claim.max_jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlMutant:
    """One thing wrong in the SQL.

    Attributes:
        file: of the function, in sql/0001.
        changes: pieces of text, and what stands in their place wherever they stand.
        caught_by: verdicts of which at least one must find something.
        hostile: statements that sessions begin with.
        strays: the leader files jobs without a position anew.
        slow: not for the default suite.
    """

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    caught_by: frozenset[str]
    hostile: tuple[str, ...] = ()
    strays: bool = False
    slow: bool = False

    def install(self, connection: psycopg.Connection[Any]) -> None:
        """Put it in the place of the right one.

        Raises:
            ValueError: the text to change is not there.
        """
        (path,) = (ROOT / "sql" / "0001").glob(f"[0-9][0-9]_{self.file}.sql")
        found = _FUNCTION.search(path.read_text())
        if found is None:
            raise ValueError(f"{path} has no function")
        text = found[0].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
        for old, new in self.changes:
            if old not in text:
                raise ValueError(f"mutant {self.name}: {path} has no {old!r}")
            text = text.replace(old, new)
        connection.execute(text.encode())


def _mutant(name: str, file: str, *changes: tuple[str, str], by: str, **more: Any) -> SqlMutant:
    return SqlMutant(name=name, file=file, changes=changes, caught_by=frozenset(by.split()), **more)


_RAN_TWICE = "attempt_reuse overlap rerun"

SQL_MUTANTS: tuple[SqlMutant, ...] = (
    _mutant(
        "claim without row lock", "claim", ("FOR UPDATE SKIP LOCKED\n", ""),
        by=f"{_RAN_TWICE} sanity double_finish",
    ),
    _mutant(
        "claim over the limit", "claim", ("LIMIT claim.max_jobs", "LIMIT claim.max_jobs + 2"),
        by="overrun",
    ),
    _mutant(
        "claim by IN (SELECT … LIMIT)", "claim",
        (
            "    WITH picked AS MATERIALIZED (\n        SELECT r.tid,",
            "    WITH picked AS (\n        DELETE FROM pgqueue.ready_jobs AS d WHERE d.queue ="
            " claim.queue AND d.job_id IN (SELECT k.job_id FROM pgqueue.ready_jobs AS k WHERE"
            " k.queue = claim.queue ORDER BY k.priority DESC, k.seq FOR UPDATE SKIP LOCKED LIMIT"
            " claim.max_jobs) RETURNING d.ctid AS tid, d.priority, d.seq, d.job_id, d.attempt,"
            " d.lost, d.crashes, d.flags\n    ),\n    never AS (\n        SELECT r.tid,",
        ),
        by="overrun",
        hostile=(
            "SET enable_hashjoin = off", "SET enable_mergejoin = off", "SET enable_material = off",
            "SET enable_memoize = off", "SET enable_hashagg = off", "SET enable_sort = off",
            "SET enable_indexscan = off", "SET enable_bitmapscan = off",
        ),
        slow=True,
    ),
    _mutant(
        "claim that counts no attempt", "claim",
        ("b.attempt + 1,\n            b.lost", "b.attempt,\n            b.lost"),
        ("'[', s.job_id, ',', s.attempt + 1", "'[', s.job_id, ',', s.attempt"),
        ("array_agg(b.attempt + 1)", "array_agg(b.attempt)"),
        by="attempt_reuse accounting sanity",
    ),
    _mutant(
        "claim that leaves the ready row", "claim",
        ("WHERE r.ctid = ANY (ARRAY(SELECT b.tid FROM batch AS b))", "WHERE false"),
        by=f"sanity {_RAN_TWICE}",
    ),
    _mutant(
        "claim that forgets expiry", "claim",
        ("WHERE b.line IS NULL AND b.id IS NOT NULL", "WHERE false"), by="lost sanity",
    ),
    _mutant(
        "finish without batch", "store_outcomes", ("AND k.batch_no = v_batch", ""),
        by="double_finish rerun attempt_reuse lost",
    ),
    _mutant(
        "finish without worker and batch", "store_outcomes",
        ("AND k.worker_id = store_outcomes.worker_id", ""), ("AND k.batch_no = v_batch", ""),
        by="double_finish rerun attempt_reuse lost overlap",
    ),
    _mutant(
        "finish that forgets the insert", "store_outcomes",
        ("WHERE m.next IN ('succeeded', 'failed', 'cancelled')", "WHERE m.next = 'failed'"),
        by="lost sanity",
    ),
    _mutant(
        "finish that leaves the running row", "store_outcomes",
        ("WHERE k.ctid = ANY (ARRAY(SELECT m.tid FROM mine AS m))", "WHERE false"),
        by=f"sanity {_RAN_TWICE}",
    ),
    _mutant(
        "finish that drops what is to be tried again", "store_outcomes",
        ("WHERE m.next = 'scheduled'", "WHERE m.told = 'crashed'"), by="lost sanity",
    ),
    _mutant(
        "crash that is not counted", "store_outcomes",
        ("m.crashes + (m.told = 'crashed')::integer", "m.crashes"), by="accounting",
    ),
    _mutant(
        "lost attempt that is not counted", "store_outcomes",
        ("m.lost + (m.told IN ('crashed', 'snoozed'))::integer", "m.lost"), by="accounting",
    ),
    _mutant(
        "good-bye that refunds started attempts", "forget_worker",
        ("'state', 'interrupted'", "'state', 'unstarted'"), by="attempt_reuse",
    ),
    _mutant(
        "good-bye that drops jobs", "forget_worker",
        ("IF v_answers IS NOT NULL THEN", "IF v_answers IS NOT NULL THEN DELETE FROM"
         " pgqueue.running_jobs AS r WHERE r.worker_id = forget_worker.worker_id;"
         " v_answers := NULL; END IF;\n    IF v_answers IS NOT NULL THEN"),
        by="lost sanity",
    ),
    _mutant(
        "locked outcomes that are not told", "left_over",
        ("array_agg(i.id) FILTER (WHERE r.job_id IS NOT NULL)", "NULL::bigint[]"),
        by="stuck rerun attempt_reuse",
    ),
    _mutant(
        "held that hides jobs", "held",
        ("WHERE r.worker_id = held.worker_id", "WHERE r.worker_id = held.worker_id AND false"),
        by="stuck",
    ),
    _mutant(
        "rescue without lease", "rescue",
        ("WHERE w.heartbeat_at < rescue.at - w.lease", "WHERE w.heartbeat_at < rescue.at"),
        by="rerun overlap sanity",
    ),
    _mutant(
        "rescue that counts nothing", "rescue", ("p.lost + 1", "p.lost"), by="accounting",
    ),
    _mutant(
        "rescue that leaves the running row", "rescue",
        ("WHERE r.ctid = ANY (ARRAY(SELECT p.tid FROM picked AS p))", "WHERE false"),
        by=f"sanity {_RAN_TWICE}",
    ),
    _mutant(
        "rescue that drops jobs", "rescue", ("WHERE NOT p.cancelled", "WHERE false"),
        by="lost sanity",
    ),
    _mutant(
        "rescue that refunds the attempt", "rescue",
        ("p.attempt, p.lost + 1, p.crashes, p.flags", "p.attempt - 1, p.lost, p.crashes, p.flags"),
        by="attempt_reuse",
    ),
    _mutant(
        "promote that drops rows", "promote",
        ("FROM (SELECT * FROM picked ORDER BY run_at, job_id) AS p",
         "FROM (SELECT * FROM picked ORDER BY run_at, job_id) AS p WHERE p.attempt > 0"),
        by="lost sanity",
    ),
    _mutant(
        "promote before the time", "promote",
        ("WHERE s.run_at <= promote.at AND", "WHERE s.run_at < 'infinity' AND"), by="early",
    ),
    _mutant(
        "promote that leaves the row", "promote",
        ("WHERE s.ctid = ANY (ARRAY(SELECT p.tid FROM picked AS p))", "WHERE false"),
        by=f"sanity {_RAN_TWICE}",
    ),
    _mutant(
        "insert that drops future jobs", "jobs_file", ("WHERE n.run_at > v_at", "WHERE false"),
        by="lost sanity",
    ),
    _mutant(
        "insert that takes future jobs for due ones", "jobs_file",
        (
            "WHERE (n.run_at IS NULL OR n.run_at <= v_at)\n            AND n.concurrency_key",
            "WHERE n.concurrency_key",
        ),
        ("WHERE n.run_at > v_at", "WHERE false"),
        by="early",
    ),
    _mutant(
        "cancel that leaves the position", "end_waiting",
        ("DELETE FROM pgqueue.ready_jobs AS r\n", "SELECT r.job_id, r.queue, r.attempt, r.lost,"
         " r.crashes, r.flags FROM pgqueue.ready_jobs AS r\n"),
        ("        RETURNING r.job_id, r.queue, r.attempt, r.lost, r.crashes, r.flags\n", ""),
        by=f"sanity {_RAN_TWICE}",
    ),
    _mutant(
        "expire before the time", "expire",
        ("WHERE j.expires_at <= expire.at", "WHERE j.expires_at < 'infinity'"), by="early",
    ),
    _mutant(
        "expire that leaves the position", "expire",
        ("DELETE FROM pgqueue.ready_jobs AS r\n", "SELECT r.job_id, r.queue, r.attempt, r.lost,"
         " r.crashes, r.flags FROM pgqueue.ready_jobs AS r\n"),
        ("            RETURNING r.job_id, r.queue, r.attempt, r.lost, r.crashes, r.flags\n", ""),
        by=f"sanity {_RAN_TWICE}",
    ),
    _mutant(
        "strays that are none", "file_strays",
        ("AND NOT EXISTS (SELECT FROM pgqueue.running_jobs AS p WHERE p.job_id = s.id)", ""),
        by=f"sanity {_RAN_TWICE}", strays=True,
    ),
)  # fmt: skip
