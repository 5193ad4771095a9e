"""Whatever a program calls and then leaves its transaction open: nobody who does the queue's work
waits for it. One of each kind of job, and one call after the other, each taken back again."""

import json
from typing import Any, LiteralString

import psycopg

from tests import factories
from tests.sql.calls import one, work
from tests.sql.sleeper import Connection

LATER = "2032-01-01"
SOON = "2031-01-01"

#: What is done at every moment: signs of life, outcomes, claims, and all that a leader does.
AT_WORK: tuple[LiteralString, ...] = (
    "SELECT pgqueue.beat(%(worker)s)",
    "SELECT pgqueue.work(%(worker)s, 2, '{*}', 0, %(outcomes)s)",
    "SELECT pgqueue.work(%(worker)s, 3, '{*}', 100)",
    "SELECT pgqueue.waiting()",
    "SELECT p.moved, pgqueue.resume_due(%(at)s), pgqueue.settle_unique_keys(%(at)s)"
    " FROM pgqueue.promote(at => %(at)s) AS p",
    "SELECT pgqueue.advance()",
    "SELECT pgqueue.expire(at => %(at)s), pgqueue.prune(at => %(at)s), pgqueue.file_strays(),"
    " pgqueue.sweep_unique_keys(at => %(at)s), pgqueue.apply_cancels(), pgqueue.tidy(%(at)s)",
    "SELECT pgqueue.rescue(at => %(at)s)",
)

#: What is called of one job.
OF_A_JOB: tuple[LiteralString, ...] = (
    "SELECT pgqueue.cancel(%(job)s)",
    "SELECT pgqueue.set_priority(%(job)s, 3)",
    "SELECT pgqueue.set_queue(%(job)s, 'elsewhere')",
    "SELECT pgqueue.set_progress(%(job)s, 0.1)",
    "DELETE FROM pgqueue.jobs WHERE id = %(job)s",
    "SELECT FROM pgqueue.jobs WHERE id = %(job)s FOR UPDATE",
)
JOBS = ("running", "brief", "line", "rated", "member", "last", "child", "fair", "waiting", "ended")

CALLS: tuple[LiteralString, ...] = (
    "SELECT pgqueue.pause('default')",
    "SELECT pgqueue.resume('paused')",
    "SELECT pgqueue.configure_queue('paused', '1 h')",
    """SELECT pgqueue.limit_queue('limited', '{"max_running": 3, "rate": "5/h"}')""",
    """SELECT pgqueue.limit_queue('limited', '{"max_running": null, "rate": null}')""",
    "SELECT pgqueue.limit_key('k', 2, '5/h')",
    "SELECT pgqueue.retry(%(ended)s)",
    "SELECT pgqueue.delete_job(%(ended)s)",
    "SELECT pgqueue.add_log(%(running)s, 'x')",
    "SELECT pgqueue.cancel_matching(task => 'task')",
    "SELECT pgqueue.wait_for(ARRAY[%(running)s, %(member)s]::bigint[])",
    "SELECT pgqueue.close_group(%(group)s)",
    "SELECT pgqueue.cancel_group(%(group)s)",
    "SELECT pgqueue.retry_group(%(group)s)",
    "SELECT pgqueue.set_last_job(%(group)s, NULL)",
    "SELECT pgqueue.set_last_job(%(group)s, %(member)s)",
    "SELECT pgqueue.create_group(parent_id => %(group)s)",
    "INSERT INTO pgqueue.jobs (task, group_id) VALUES ('t', %(group)s)",
    "INSERT INTO pgqueue.jobs (task, after) VALUES ('t', ARRAY[%(running)s, %(parent)s]::bigint[])",
    """SELECT pgqueue.enqueue_flow('[{"task": "x"}]', before => ARRAY[%(child)s]::bigint[])""",
    "INSERT INTO pgqueue.jobs (task, concurrency_key) VALUES ('t', 'k')",
    "INSERT INTO pgqueue.jobs (task, concurrency_key, rate) VALUES ('t', 'r', '1/m')",
    "INSERT INTO pgqueue.jobs (task, queue, fair_key) VALUES ('t', 'fair', 'a')",
)
UNIQUE: LiteralString = """
    INSERT INTO pgqueue.jobs (task, unique_key, on_duplicate, unique_while)
    VALUES ('t', %(key)s, %(mode)s, %(while)s)
"""


def scene(c: Connection) -> dict[str, Any]:
    """One of each; gives their ids, and what a worker has to tell."""
    worker = factories.worker(c)
    limit = json.dumps({"max_running": 5, "rate": "100/m"})
    c.execute("SELECT pgqueue.limit_queue('limited', %s)", (limit,))
    c.execute("SELECT pgqueue.configure_queue('brief', '0', '0')")
    c.execute("SELECT pgqueue.pause('paused', '1 s')")
    found: dict[str, Any] = {"worker": worker, "at": LATER}
    found["running"], found["line"] = factories.jobs(c, 2, concurrency_key="k")
    _, found["rated"] = factories.jobs(c, 2, concurrency_key="r", rate="1/m")
    factories.job(c, unique_key="u", unique_for="1 h")
    factories.job(c, queue="limited")
    found["brief"] = factories.job(c, queue="brief", unique_key="brief")
    group = found["group"] = one(
        c, "SELECT pgqueue.create_group(callbacks => %s)", '{"on_finish": "t"}'
    )
    found["member"], found["last"] = (factories.job(c, group_id=group) for _ in range(2))
    c.execute("SELECT pgqueue.set_last_job(%s, %s)", (group, found["last"]))
    c.execute("SELECT pgqueue.close_group(%s)", (group,))
    flow = '[{"task": "a", "name": "a"}, {"task": "b", "after": ["a"], "results_as": "args"}]'
    found["parent"], found["child"] = one(c, "SELECT job_ids FROM pgqueue.enqueue_flow(%s)", flow)
    told = factories.job(c, callbacks='{"on_finish": "t"}')
    _, found["fair"] = factories.jobs(c, 2, queue="fair", fair_key="a")
    taken = work(c, worker).job_ids
    found["waiting"] = factories.job(c, queue="x", unique_key="w", unique_while="waiting")
    factories.job(c, queue="x", expires_at=SOON)
    factories.job(c, queue="x", run_at=SOON)
    factories.job(c, run_at=SOON, concurrency_key="k")
    found["ended"] = factories.finished(c, keep_until=SOON, unique_key="e")
    factories.blocked(c, "unique_key", unique_key="open", flags=4)
    c.execute("SELECT pgqueue.wait_for(%s, 3600)", ([found["running"], found["ended"]],))
    c.execute("SELECT pgqueue.cancel(%s)", (told,))
    well = ",".join(str(job) for job in taken if job != told)
    us = ",".join("5" for job in taken if job != told)
    failed = {"id": told, "state": "failed", "us": 5, "kind": "E", "message": "m"}
    answers = [
        {"batch": 1, "notes": [{"id": found["running"], "fraction": 0.7}]},
        {"batch": 1, "ok": f"{{{well}}}", "us": f"{{{us}}}", "rest": [failed]},
    ]
    return {**found, "outcomes": json.dumps(answers)}


def calls(ids: dict[str, Any]) -> list[tuple[LiteralString, dict[str, Any]]]:
    """Every call, with what it is given."""
    uniques = [
        (UNIQUE, {"key": key, "mode": mode, "while": unique_while})
        for key in ("u", "w", "brief", "e", "open", "new")
        for mode, unique_while in (
            ("ignore", "live"),
            ("replace", "live"),
            ("reschedule", "waiting"),
        )
    ]
    of_jobs = [(text, {"job": ids[job]}) for job in JOBS for text in OF_A_JOB]
    return [*((text, ids) for text in CALLS), *uniques, *of_jobs]


def test_nobody_at_work_waits_for_it(c: Connection, writer: Connection) -> None:
    ids = scene(c)
    c.execute("SET lock_timeout = '50 ms'")
    waited = []
    for text, given in calls(ids):
        writer.execute(text, given)
        for asked in AT_WORK:
            try:
                with c.transaction(force_rollback=True):
                    c.execute(asked, ids)
            except psycopg.errors.LockNotAvailable as error:
                waited.append((text, asked, str(error)))
        writer.rollback()
    assert waited == []
    # The job that is over was put there by hand, and has left its key behind.
    c.execute("SELECT pgqueue.sweep_unique_keys()")
