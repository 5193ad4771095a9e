"""Groups and callbacks: each counted and fired exactly once, whoever ends what at the same time."""

import json
import threading
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.helpers import eventually
from tests.sql.calls import AT, column, ok, one, refused, tell, work
from tests.sql.sleeper import Connection

OVERVIEW = (
    "SELECT state, total, waiting, running, succeeded, failed, cancelled, skipped"
    " FROM pgqueue.group_overview WHERE id = %s"
)
CALLBACK = '{"on_finish": "end", "on_success": "good", "on_failure": {"task": "bad", "args": [7]}}'


@pytest.fixture
def worker(c: Connection) -> int:
    return factories.worker(c)


def group(c: Connection, callbacks: str | None = CALLBACK, **more: Any) -> int:
    named = {"name": "g", "callbacks": callbacks, **more}
    call = ", ".join(f"{name} => %({name})s" for name in named)
    row = c.execute(f"SELECT pgqueue.create_group({call})", named).fetchone()
    assert row is not None
    return int(row[0])


def fired(c: Connection) -> list[str]:
    """The callbacks that were enqueued so far."""
    tasks = ("end", "good", "bad")
    return column(c, "SELECT task FROM pgqueue.jobs WHERE task = ANY (%s) ORDER BY id", list(tasks))


def close(c: Connection, group_id: int) -> str:
    return str(one(c, "SELECT pgqueue.close_group(%s)", group_id))


# Callbacks of jobs


@pytest.mark.parametrize(
    ("state", "expected"),
    [("succeeded", ["good", "end"]), ("failed", ["bad", "end"]), ("cancelled", ["end"]),
     ("retry", []), ("snoozed", []), ("unstarted", [])],
)  # fmt: skip
def test_callbacks_follow_the_end_of_a_job(
    c: Connection, worker: int, state: str, expected: list[str]
) -> None:
    job = factories.running(c, worker, callbacks=CALLBACK, flags=512)
    tell(c, worker, job, state, result={"a": 1}, delay=3600, kind="Oops", message="no")
    assert fired(c) == expected
    if state == "succeeded":
        told = one(c, "SELECT args -> 0 FROM pgqueue.jobs WHERE task = 'good'")
        assert (told["id"], told["state"], told["result"]) == (job, "succeeded", {"a": 1})
    if state == "failed":
        told, own = one(c, "SELECT args FROM pgqueue.jobs WHERE task = 'bad'")
        assert (told["error"], own) == ("Oops: no", 7)


def test_callbacks_follow_every_other_end(c: Connection) -> None:
    ready = factories.job(c, callbacks=CALLBACK)
    c.execute("SELECT pgqueue.cancel(%s)", (ready,))
    assert fired(c) == ["end"]
    factories.job(c, callbacks=CALLBACK, expires_at="2020-01-01", run_at="infinity")
    c.execute("SELECT pgqueue.expire()")
    assert fired(c) == ["end", "bad", "end"]
    factories.job(c, callbacks=CALLBACK, expires_at="2020-01-01")
    work(c, factories.worker(c))
    assert fired(c) == ["end", "bad", "end", "bad", "end"]


def test_a_late_or_second_outcome_fires_nothing(db: Database, c: Connection, worker: int) -> None:
    job = factories.running(c, worker, callbacks=CALLBACK, flags=512)
    other = db.connect(autocommit=False)
    tell(other, worker, job, "succeeded")
    assert fired(c) == []
    other.rollback()
    assert tell(c, worker, job, "succeeded", batch_no=77) == ([job], None)
    tell(c, worker, job, "succeeded")
    assert tell(c, worker, job, "failed") == ([job], None)
    c.execute("SELECT pgqueue.rescue(at => 'infinity')")
    assert fired(c) == ["good", "end"]


def test_an_atomic_finish_fires_with_its_transaction(
    db: Database, c: Connection, worker: int
) -> None:
    job = factories.running(c, worker, callbacks=CALLBACK, flags=512)
    finish = "SELECT pgqueue.finish_atomic(%s, 1, %s, 1)"
    other = db.connect(autocommit=False)
    assert one(other, finish, worker, job) == "stored"
    other.rollback()
    assert fired(c) == []
    assert one(other, finish, worker, job) == "stored"
    other.commit()
    assert fired(c) == ["good", "end"]


def test_a_large_result_does_not_keep_a_job_from_ending(c: Connection, worker: int) -> None:
    job = factories.running(c, worker, callbacks=CALLBACK, flags=512)
    tell(c, worker, job, "succeeded", result="x" * 1_000_000)
    told = one(c, "SELECT args -> 0 FROM pgqueue.jobs WHERE task = 'good'")
    assert (told["result"], told["result_left_out"]) == (None, True)


def test_large_meta_does_not_keep_a_job_from_ending(c: Connection, worker: int) -> None:
    """Of what a producer may say and a task return, together more than arguments may be."""
    meta = json.dumps({"told": "y" * 1_200_000})
    job = factories.running(c, worker, callbacks=CALLBACK, flags=514, meta=meta)
    tell(c, worker, job, "succeeded", result="x" * 500_000)
    told = one(c, "SELECT args -> 0 FROM pgqueue.jobs WHERE task = 'good'")
    assert (told["meta"], told["meta_left_out"]) == (None, True)
    assert (len(told["result"]), told["result_left_out"]) == (500_000, False)


def test_large_meta_does_not_keep_a_group_from_ending(c: Connection, worker: int) -> None:
    meta = json.dumps({"told": "y" * 1_572_700})
    group = one(c, "SELECT pgqueue.create_group('g', %s, %s)", CALLBACK, meta)
    job = factories.job(c, group_id=group)
    c.execute("SELECT pgqueue.close_group(%s)", (group,))
    work(c, worker)
    ok(c, worker, job)
    told = one(c, "SELECT args -> 0 FROM pgqueue.jobs WHERE task = 'good'")
    assert (told["meta"], told["meta_left_out"], told["total"]) == (None, True, 1)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ("[]", "callbacks must be a JSON object; got array"),
        ('{"on_end": "x"}',
         "callbacks must have no keys but on_success, on_failure, on_finish; got 'on_end'"),
        ('{"on_finish": 7}', "on_finish must be the name of a task, or a JSON object; got number"),
        ('{"on_success": "t", "on_finish": ["t"]}',
         "on_finish must be the name of a task, or a JSON object; got array"),
        (json.dumps({"on_finish": "t" * 501}),
         "on_finish: task must be a name of 1 to 500 bytes; got 501 bytes"),
        ('{"on_finish": ""}', "on_finish: task must be a name of 1 to 500 bytes; got 0 bytes"),
        ('{"on_finish": {}}', "on_finish: task must be a string"),
        ('{"on_finish": {"task": "t", "args": 7}}',
         "on_finish: args must be a JSON array; got number"),
        ('{"on_finish": {"task": "t", "x": 7}}',
         "on_finish must have no keys but task, args, kwargs, queue, priority, meta,"
         " concurrency_key, max_running, fair_key, rate"),
        ('{"on_finish": {"task": "t", "priority": 1.5}}',
         "on_finish: priority must be a whole number between -32768 and 32767"),
    ],
)  # fmt: skip
def test_callbacks_that_could_never_run_are_refused(
    c: Connection, callbacks: str, message: str
) -> None:
    hint = "see COMMENT ON COLUMN pgqueue.jobs for what each column takes"
    with refused("PQ001", message, hint):
        factories.job(c, callbacks=callbacks)
    with refused("PQ001", message):
        group(c, callbacks)


# Groups


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_who_does_not_see_all_counts_leaves_it_to_the_leader(
    db: Database, c: Connection, worker: int, isolation: str
) -> None:
    g = group(c)
    jobs = [factories.job(c, group_id=g, has_dependents=True) for _ in range(2)]
    after = factories.job(c, after=jobs)
    close(c, g)
    work(c, worker)
    other = db.connect(autocommit=False)
    other.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    other.execute("SELECT FROM pgqueue.jobs")
    ok(c, worker, jobs[0])
    assert one(other, "SELECT pgqueue.finish_atomic(%s, 1, %s, 1)", worker, jobs[1]) == "stored"
    other.commit()
    assert fired(c) == []
    c.execute("SELECT pgqueue.advance()")
    assert fired(c) == ["good", "end"]
    assert factories.state(c, after) == "ready"


def test_a_group_counts_and_ends_when_it_is_closed(c: Connection, worker: int) -> None:
    g = group(c)
    jobs = factories.jobs(c, 3, group_id=g)
    assert one(c, OVERVIEW, g) == ("open", 3, 3, 0, 0, 0, 0, 0)
    work(c, worker, max_jobs=2)
    assert one(c, OVERVIEW, g) == ("open", 3, 1, 2, 0, 0, 0, 0)
    ok(c, worker, *jobs[:2])
    c.execute("SELECT pgqueue.cancel(%s)", (jobs[2],))
    assert one(c, OVERVIEW, g) == ("open", 3, 0, 0, 2, 0, 1, 0)
    assert fired(c) == []
    assert close(c, g) == "cancelled"
    assert fired(c) == ["end"]
    assert close(c, g) == "cancelled"
    hint = "make a group with pgqueue.create_group, and close it when its jobs are there"
    with refused("PQ001", f"group_id must name a group that has not ended; {g} has ended", hint):
        factories.job(c, group_id=g)
    with refused("PQ001", "group_id must name a group that has not ended; 4711 is no group", hint):
        factories.job(c, group_id=4711)
    with refused(
        "PQ002", "there is no group 4711", "it may have been deleted, or pruned with its jobs"
    ):
        close(c, 4711)


def test_an_empty_group_ends_when_it_is_closed(c: Connection) -> None:
    assert close(c, group(c)) == "succeeded"
    assert fired(c) == ["good", "end"]


def test_more_may_be_added_until_it_has_ended(c: Connection, worker: int) -> None:
    g = group(c)
    first = factories.job(c, group_id=g)
    close(c, g)
    work(c, worker)
    second = factories.job(c, group_id=g)
    ok(c, worker, first)
    assert fired(c) == []
    work(c, worker, 2)
    tell(c, worker, second, "failed", batch_no=2)
    assert one(c, "SELECT state FROM pgqueue.groups") == "failed"
    assert fired(c) == ["bad", "end"]


def test_two_who_end_the_last_jobs_at_once_end_the_group_once(db: Database, c: Connection) -> None:
    """One cannot lock the group, leaves its count, and the leader ends it."""
    g = group(c)
    workers = [factories.worker(c), factories.worker(c)]
    jobs = [factories.running(c, w, group_id=g, flags=256) for w in workers]
    close(c, g)
    first, second = db.connect(autocommit=False), db.connect(autocommit=False)
    second.execute("SET lock_timeout = '5s'")
    ok(first, workers[0], jobs[0])
    ok(second, workers[1], jobs[1])
    second.commit()
    assert one(c, "SELECT pgqueue.advance()") == 1
    assert fired(c) == []
    first.commit()
    c.execute("SELECT pgqueue.promote()")
    assert fired(c) == ["good", "end"]
    assert one(c, OVERVIEW, g) == ("succeeded", 2, 0, 0, 2, 0, 0, 0)
    assert one(c, "SELECT pgqueue.advance()") == 0


def test_a_finish_waits_for_nobody_who_adds_and_a_close_does(db: Database, c: Connection) -> None:
    g = group(c)
    worker = factories.worker(c)
    job = factories.running(c, worker, group_id=g, flags=256)
    adder = db.connect(autocommit=False)
    added = factories.job(adder, group_id=g)
    c.execute("SET lock_timeout = '5s'")
    ok(c, worker, job)
    closer = threading.Thread(target=db.execute, args=("SELECT pgqueue.close_group(%s)", (g,)))
    closer.start()
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND query LIKE '%%close%%'"
    )
    eventually(lambda: one(c, waits) == 1)
    adder.commit()
    closer.join()
    assert fired(c) == []
    c.execute("SELECT pgqueue.cancel(%s)", (added,))
    assert fired(c) == ["end"]


def test_a_closed_group_does_not_end_while_somebody_adds(db: Database, c: Connection) -> None:
    g = group(c)
    worker = factories.worker(c)
    job = factories.running(c, worker, group_id=g, flags=256)
    close(c, g)
    adder = db.connect(autocommit=False)
    added = factories.job(adder, group_id=g)
    c.execute("SET lock_timeout = '5s'")
    ok(c, worker, job)
    c.execute("SELECT pgqueue.advance()")
    assert fired(c) == []
    adder.commit()
    c.execute("SELECT pgqueue.advance()")
    assert fired(c) == []
    c.execute("SELECT pgqueue.cancel(%s)", (added,))
    c.execute("SELECT pgqueue.advance()")
    assert fired(c) == ["end"]


def test_members_that_are_deleted_are_members_no_more(c: Connection, worker: int) -> None:
    g = group(c)
    jobs = factories.jobs(c, 4, group_id=g)
    work(c, worker, max_jobs=2)
    ok(c, worker, jobs[0])
    close(c, g)
    c.execute("DELETE FROM pgqueue.jobs WHERE id = ANY (%s)", ([jobs[0], jobs[1], jobs[2]],))
    assert one(c, OVERVIEW, g) == ("closed", 2, 1, 0, 1, 0, 0, 0)
    c.execute("SELECT pgqueue.cancel(%s)", (jobs[3],))
    assert fired(c) == ["end"]


def test_groups_inside_groups(c: Connection, worker: int) -> None:
    outer = group(c)
    inner = group(c, None, parent_id=outer)
    job = factories.job(c, group_id=inner)
    assert close(c, outer) == "closed"
    close(c, inner)
    assert one(c, OVERVIEW, outer) == ("closed", 1, 1, 0, 0, 0, 0, 0)
    work(c, worker)
    tell(c, worker, job, "failed")
    assert one(c, OVERVIEW, outer) == ("failed", 1, 0, 0, 0, 1, 0, 0)
    assert fired(c) == ["bad", "end"]
    assert one(c, "SELECT pgqueue.retry_group(%s)", inner) == 1
    assert one(c, "SELECT state FROM pgqueue.group_overview WHERE id = %s", outer) == "closed"
    assert one(c, "SELECT pgqueue.cancel_group(%s)", outer) == 1
    c.execute("SELECT pgqueue.advance()")
    assert fired(c) == ["bad", "end", "end"]
    assert one(c, "SELECT pgqueue.delete_group(%s)", outer) == 1
    assert column(c, "SELECT id FROM pgqueue.groups") == []


def test_who_retries_a_group_retries_those_inside(c: Connection, worker: int) -> None:
    outer = group(c)
    inner = group(c, None, parent_id=outer)
    deepest = group(c, None, parent_id=inner)
    groups = (outer, inner, deepest)
    jobs = [factories.job(c, group_id=one_of) for one_of in groups]
    assert one(c, "SELECT pgqueue.cancel_group(%s)", outer) == 3
    c.execute("SELECT pgqueue.advance()")
    assert [one(c, OVERVIEW, one_of)[0] for one_of in groups] == ["cancelled"] * 3
    assert one(c, "SELECT pgqueue.retry_group(%s)", outer) == 3
    assert [one(c, OVERVIEW, one_of)[0] for one_of in groups] == ["closed"] * 3
    assert set(jobs) < set(work(c, worker).job_ids)
    ok(c, worker, *jobs)
    c.execute("SELECT pgqueue.advance()")
    assert [one(c, OVERVIEW, one_of)[0] for one_of in groups] == ["succeeded"] * 3
    assert fired(c) == ["end", "good", "end"]


def test_a_member_whose_key_is_taken_keeps_no_other_from_being_retried(
    c: Connection, worker: int
) -> None:
    g = group(c)
    taken, twin, free = (factories.job(c, group_id=g, unique_key=key) for key in "abc")
    other = factories.job(c, group_id=g)
    work(c, worker)
    for job in (taken, twin, free, other):
        tell(c, worker, job, "failed")
    late = factories.job(c, group_id=g, unique_key="b")
    c.execute("SELECT pgqueue.cancel(%s)", (late,))
    close(c, g)
    factories.job(c, unique_key="a")
    assert one(c, "SELECT pgqueue.retry_group(%s)", g) == 3
    assert [factories.state(c, job) for job in (taken, twin, free, other, late)] == [
        "failed", "ready", "ready", "ready", "cancelled",
    ]  # fmt: skip
    work(c, worker, 2)
    ok(c, worker, twin, free, other, batch_no=2)
    assert one(c, OVERVIEW, g) == ("failed", 5, 0, 0, 3, 1, 1, 0)


def test_cancelling_a_group_ends_what_waits_and_asks_what_runs(c: Connection, worker: int) -> None:
    g = group(c)
    running = factories.running(c, worker, group_id=g, flags=256)
    waiting = [*factories.jobs(c, 3, group_id=g), factories.job(c, group_id=g, run_at="infinity")]
    assert one(c, "SELECT pgqueue.cancel_group(%s, 'enough')", g) == 5
    assert {factories.state(c, job) for job in waiting} == {"cancelled"}
    assert column(c, "SELECT job_id FROM pgqueue.cancel_requests") == [running]
    with refused(
        "PQ003", f"group {g} must not have running jobs to be deleted; job {running} is running",
        "cancel the group first, or wait for it",
    ):  # fmt: skip
        c.execute("SELECT pgqueue.delete_group(%s)", (g,))
    tell(c, worker, running, "retry", delay=1)
    assert fired(c) == ["end"]
    assert one(c, "SELECT pgqueue.retry_group(%s)", g) == 5
    assert one(c, OVERVIEW, g) == ("closed", 5, 5, 0, 0, 0, 0, 0)


def test_a_retried_job_lets_its_group_end_anew(c: Connection, worker: int) -> None:
    g = group(c)
    job = factories.job(c, group_id=g)
    close(c, g)
    work(c, worker)
    ok(c, worker, job)
    c.execute("SELECT pgqueue.retry(%s)", (job,))
    assert one(c, OVERVIEW, g) == ("closed", 1, 1, 0, 0, 0, 0, 0)
    c.execute("SELECT pgqueue.cancel(%s)", (job,))
    c.execute("SELECT pgqueue.advance()")
    assert fired(c) == ["good", "end", "end"]


def test_a_lost_worker_and_strays_are_counted_right(c: Connection) -> None:
    g = group(c)
    worker = factories.worker(c, heartbeat_at="2020-01-01")
    job = factories.running(c, worker, group_id=g, flags=256)
    factories.stray(c, group_id=g)
    c.execute("SELECT pgqueue.file_strays()")
    close(c, g)
    c.execute("SELECT pgqueue.rescue()")
    assert one(c, OVERVIEW, g) == ("closed", 2, 2, 0, 0, 0, 0, 0)
    other = factories.worker(c)
    ids = work(c, other).job_ids
    assert job in ids
    ok(c, other, *ids)
    c.execute("SELECT pgqueue.advance()")
    assert fired(c) == ["good", "end"]


def test_results_come_in_order(c: Connection, worker: int) -> None:
    g = group(c, None)
    jobs = factories.jobs(c, 3, group_id=g)
    work(c, worker, max_jobs=2)
    tell(c, worker, jobs[1], "succeeded", result=2)
    tell(c, worker, jobs[0], "failed", kind="No", message="no")
    rows = c.execute("SELECT * FROM pgqueue.group_results(%s)", (g,)).fetchall()
    assert rows == [
        (jobs[0], "task", "failed", None, "No: no"), (jobs[1], "task", "succeeded", 2, None),
        (jobs[2], "task", None, None, None),
    ]  # fmt: skip


def test_results_are_kept_for_an_hour_whatever_the_retention(c: Connection, worker: int) -> None:
    c.execute(
        "SELECT pgqueue.configure_queue('default', retention_succeeded => '0',"
        " retention_other => '0')"
    )
    g = group(c, None)
    members, alone = factories.jobs(c, 4, group_id=g), factories.job(c)
    close(c, g)
    work(c, worker)
    ok(c, worker, members[0], alone)
    tell(c, worker, members[1], "succeeded", result=7)
    tell(c, worker, members[2], "failed")
    tell(c, worker, members[3], "cancelled")
    c.execute("SELECT pgqueue.tidy(), pgqueue.prune()")
    results = "SELECT state, result FROM pgqueue.group_results(%s)"
    assert c.execute(results, (g,)).fetchall() == [
        ("succeeded", None), ("succeeded", 7), ("failed", None), ("cancelled", None),
    ]  # fmt: skip
    assert one(c, "SELECT count(*) FROM pgqueue.jobs WHERE id = %s", alone) == 0
    assert one(c, "SELECT sum(succeeded) FROM pgqueue.history(per_bin => 100)") > 0
    c.execute("SELECT pgqueue.prune(at => clock_timestamp() + '61 min')")
    assert c.execute(results, (g,)).fetchall() == []


def test_whoever_waits_for_a_group_is_told(db: Database, c: Connection, worker: int) -> None:
    g = group(c, None)
    job = factories.running(c, worker, group_id=g, flags=256)
    close(c, g)
    ear = db.connect()
    ear.execute("LISTEN pgqueue_finished")
    c.execute("SELECT pgqueue.wait_for(%s)", ([-g, job],))
    ok(c, worker, job)
    [heard] = list(ear.notifies(timeout=60, stop_after=1))
    assert sorted(map(int, heard.payload.split(","))) == [-g, job]


def test_groups_go_when_their_jobs_have(c: Connection, worker: int) -> None:
    g = group(c, None)
    job = factories.running(c, worker, group_id=g, flags=256)
    close(c, g)
    ok(c, worker, job, at=AT)
    later = "SELECT pgqueue.tidy(%s + interval '31 days')"
    c.execute(later, (AT,))
    assert column(c, "SELECT released FROM pgqueue.groups") == [True]
    c.execute("SELECT pgqueue.prune(at => %s + interval '31 days')", (AT,))
    c.execute(later, (AT,))
    assert column(c, "SELECT id FROM pgqueue.groups") == []


def test_a_job_that_is_a_duplicate_is_no_member(c: Connection) -> None:
    g = group(c)
    jobs = [{"task": "t", "unique_key": key, "group_id": g} for key in ("a", "b", "a")]
    c.execute("SELECT pgqueue.enqueue_many(%s)", (json.dumps(jobs),))
    assert one(c, OVERVIEW, g)[1] == 2


def test_a_full_queue_keeps_no_job_from_ending(c: Connection, worker: int) -> None:
    g = group(c)
    job = factories.job(c, callbacks=CALLBACK, group_id=g)
    close(c, g)
    work(c, worker)
    c.execute("INSERT INTO pgqueue.queues (name, max_pending) VALUES ('default', 1)")
    ok(c, worker, job)
    assert fired(c) == ["good", "end", "good", "end"]
    with refused(
        "PQ007",
        "queue 'default' must have at most 1 jobs waiting; with these it would have more",
        "enqueue later, or fewer at once, or raise its max_pending",
    ):  # fmt: skip
        factories.job(c)
