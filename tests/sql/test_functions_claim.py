"""Taking jobs: which, in which order, how many, and from where the scan begins."""

import datetime as dt
import json
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.sql.calls import AT, column, ok, one, refused, work
from tests.sql.sleeper import Connection


def take(c: Connection, *queues: str, **more: Any) -> list[int]:
    """Let a new worker take jobs; gives their ids in order."""
    return list(work(c, factories.worker(c), queues=queues or ("*",), **more).job_ids)


# What a worker gets


def test_a_batch_is_a_line_a_job(c: Connection) -> None:
    worker = factories.worker(c)
    plain = factories.job(c, "a.task", args='[1, "é\\n"]', kwargs='{"k": null}', queue='q"1')
    rich = factories.job(
        c, "b", queue='q"1', timeout="90 s", max_attempts=4, meta='{"m": [1]}', priority=-2
    )
    row = work(c, worker, 7)
    assert row.job_ids == [plain, rich]
    assert row.attempts == [1, 1]
    assert row.payload == [
        [plain, 1, 0, "a.task", [1, "é\n"], {"k": None}, 'q"1', 0, None],
        [rich, 1, 0, "b", [], {}, 'q"1', -2,
         {"timeout": 90.0, "max_attempts": 4, "meta": {"m": [1]}}],
    ]  # fmt: skip
    assert (row.refused, row.again, row.drained) == (None, None, True)
    held = factories.position(c, plain)
    assert (held["worker_id"], held["batch_no"], held["attempt"]) == (worker, 7, 1)


def test_an_attempt_is_counted_when_it_begins(c: Connection) -> None:
    job = factories.ready(c, attempt=3, lost=2, crashes=1)
    row = work(c, factories.worker(c), at=AT)
    assert row.payload[0][:3] == [job, 4, 2]
    c.execute("SET timezone = 'UTC'")
    held = factories.position(c, job)
    assert (held["attempt"], held["lost"], held["crashes"]) == (4, 2, 1)
    assert held["started_at"] == "2040-01-01T00:00:00+00:00"


def test_dequeue_gives_rows(c: Connection) -> None:
    worker = factories.worker(c)
    low = factories.job(c, "low", priority=-1, args="[1]", timeout="1 s", max_attempts=2)
    high = factories.job(c, "high", kwargs='{"a": 1}', meta='{"m": 1}', queue="mail")
    query = "SELECT * FROM pgqueue.dequeue(%s, '{mail,*}', 5, 3)"
    assert c.execute(query, (worker,)).fetchall() == [
        (high, 1, "high", [], {"a": 1}, "mail", 0, None, None, {"m": 1}),
        (low, 1, "low", [1], {}, "default", -1, dt.timedelta(seconds=1), 2, None),
    ]
    assert c.execute(query, (worker,)).fetchall() == []
    assert factories.position(c, low)["batch_no"] == 3


@pytest.mark.parametrize(
    "call",
    [
        "SELECT pgqueue.work(4711, 1, '{*}', 1)",
        "SELECT pgqueue.work(4711, 1, '{*}', 0, '[]')",
        "SELECT * FROM pgqueue.dequeue(4711)",
    ],
)
def test_an_unknown_worker_gets_nothing(c: Connection, call: str) -> None:
    job = factories.job(c)
    with refused(
        "PQ005",
        "worker 4711 is not registered; it may have been given up as lost",
        "stop what it runs, and register again with pgqueue.register_worker",
    ):
        c.execute(call)
    assert factories.state(c, job) == "ready"


def test_asking_for_no_jobs_gives_the_hint_back(c: Connection) -> None:
    factories.job(c)
    row = work(c, factories.worker(c), max_jobs=0, hint='{"default": {"0": 5}}')
    assert (row.job_ids, row.hint_out, row.drained) == (None, '{"default": {"0": 5}}', None)


def test_a_row_that_somebody_holds_is_skipped(
    db: Database, c: Connection, writer: Connection
) -> None:
    first, second = factories.jobs(c, 2)
    query = "SELECT FROM pgqueue.ready_jobs WHERE job_id = %s FOR UPDATE"
    writer.execute(query, (first,))
    assert take(c) == [second]
    writer.rollback()
    assert take(c) == [first]


def test_a_position_without_a_job_is_dropped(c: Connection) -> None:
    first, second = factories.jobs(c, 2)
    c.execute("ALTER TABLE pgqueue.jobs DISABLE TRIGGER jobs_forget")
    c.execute("DELETE FROM pgqueue.jobs WHERE id = %s", (first,))
    c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_forget")
    assert take(c) == [second]


def test_a_claim_alone_does_not_wait_for_the_disk(c: Connection) -> None:
    worker = factories.worker(c)
    with c.transaction():
        work(c, worker)
        assert one(c, "SHOW synchronous_commit") == "off"
    with c.transaction():
        work(c, worker, answers=[])
        assert one(c, "SHOW synchronous_commit") == "on"
    with c.transaction():
        c.execute("SELECT pgqueue.dequeue(%s)", (worker,))
        assert one(c, "SHOW synchronous_commit") == "on"


# Order


def test_highest_priority_first_then_first_in_first_out(c: Connection) -> None:
    ids = {
        priority: [factories.job(c, priority=priority) for _ in range(2)]
        for priority in (0, 32767, -5, 7, -32768)
    }
    assert take(c) == [job for priority in sorted(ids, reverse=True) for job in ids[priority]]


def test_a_job_that_waited_its_turn_comes_before_those_that_came_later(c: Connection) -> None:
    """One that was lost or given back goes before the others of its priority."""
    worker = factories.worker(c)
    first, second = factories.running(c, worker), factories.running(c, worker)
    third = factories.job(c)
    c.execute("SELECT pgqueue.forget_worker(%s)", (worker,))
    assert take(c) == [first, second, third]


@pytest.mark.parametrize("how", ["promote", "retry", "retry of a scheduled one"])
def test_a_job_that_comes_back_is_the_last_of_its_priority(c: Connection, how: str) -> None:
    first = factories.finished(c, "failed") if how == "retry" else factories.scheduled(c, AT)
    lower = factories.job(c, priority=-1)
    second = factories.job(c)
    if how == "promote":
        c.execute("SELECT pgqueue.promote(at => %s)", (AT,))
    else:
        c.execute("SELECT pgqueue.retry(%s)", (first,))
    third = factories.job(c)
    assert take(c) == [second, first, third, lower]


def test_a_changed_priority_keeps_the_place_within_it(c: Connection) -> None:
    first, second, third = factories.jobs(c, 3)
    for job in (third, first):
        c.execute("SELECT pgqueue.set_priority(%s, 5)", (job,))
    assert take(c) == [first, third, second]


# Queues


def test_queues_are_served_in_the_order_given(c: Connection) -> None:
    a, b, d = (factories.job(c, queue=queue, priority=n) for n, queue in enumerate("abd"))
    assert take(c, "d", "missing", "a", max_jobs=1) == [d]
    assert take(c, "d", "a") == [a]
    assert take(c, "a", "d") == []
    assert take(c, "b") == [b]


def test_a_batch_is_filled_from_the_queues_in_order(c: Connection) -> None:
    a, b = (factories.jobs(c, 3, queue=queue) for queue in "ab")
    assert take(c, "b", "a", max_jobs=4) == [*b, a[0]]


def test_every_queue_stands_for_those_not_named(c: Connection) -> None:
    ids = {queue: factories.job(c, queue=queue) for queue in "abcdef"}
    taken = take(c, "f", "*", "a")
    assert taken[0] == ids["f"]
    assert sorted(taken[1:5]) == [ids[queue] for queue in "bcde"]
    assert taken[5] == ids["a"]


def test_every_queue_includes_names_of_any_shape(c: Connection) -> None:
    names = ["", "'", '"', "\\", "{}", ",", "é" * 100, "null", " ", "%s", "**"]
    ids = [factories.job(c, queue=name) for name in names if name]
    row = work(c, factories.worker(c))
    assert sorted(row.job_ids) == ids
    assert set(json.loads(row.hint_out)) == {name for name in names if name}
    more = [factories.job(c, queue=name) for name in names if name]
    assert sorted(take(c, hint=row.hint_out)) == more


def test_a_paused_queue_is_passed_over(c: Connection) -> None:
    held, free = factories.job(c, queue="held"), factories.job(c, queue="free")
    c.execute("SELECT pgqueue.pause('held')")
    assert take(c, "held", "*") == [free]
    assert take(c, "held") == []
    assert factories.state(c, factories.job(c, queue="held")) == "ready"
    assert one(c, "SELECT pgqueue.resume('held')") is True
    assert take(c, "held", max_jobs=1) == [held]


def test_a_pause_ends_by_itself(c: Connection) -> None:
    job = factories.job(c)
    c.execute("SELECT pgqueue.pause('default', '1 h', %s)", (AT,))
    hour = dt.timedelta(hours=1)
    assert take(c, at=AT + hour * 0.999) == []
    assert take(c, at=AT + hour) == [job]


# How much


@pytest.mark.parametrize(("number", "drained"), [(1, False), (2, False), (3, True)])
def test_drained_says_that_nothing_was_left(c: Connection, number: int, drained: bool) -> None:
    factories.jobs(c, 2)
    row = work(c, factories.worker(c), max_jobs=number)
    assert (len(row.job_ids), row.drained) == (min(number, 2), drained)


def test_max_bytes_ends_a_batch(c: Connection) -> None:
    ids = factories.jobs(c, 10, args=json.dumps(["x" * 1000]))
    worker = factories.worker(c)
    row = work(c, worker, max_bytes=3500)
    assert (row.job_ids, row.drained) == (ids[:3], False)
    row = work(c, worker, 2, max_bytes=10**6, hint=row.hint_out)
    assert (row.job_ids, row.drained) == (ids[3:], True)


def test_max_bytes_counts_meta_as_well(c: Connection) -> None:
    long = json.dumps({"told": "".join(chr(0x4E00 + 7919 * n % 20000) for n in range(500))})
    jobs = [factories.job(c, meta=long) for _ in range(4)]
    row = work(c, factories.worker(c), max_bytes=3500)
    assert (row.job_ids, row.drained) == (jobs[:2], False)


def test_max_bytes_never_holds_up_the_first_job(c: Connection) -> None:
    large, small = factories.job(c, args=json.dumps(["x" * 5000])), factories.job(c)
    row = work(c, factories.worker(c), max_bytes=1)
    assert (row.job_ids, row.drained) == ([large], False)
    assert take(c, max_bytes=0) == [small]


def test_max_bytes_counts_over_queues(c: Connection) -> None:
    a, b = (factories.jobs(c, 3, queue=queue, args=json.dumps(["x" * 1000])) for queue in "ab")
    row = work(c, factories.worker(c), queues=("a", "b"), max_bytes=5000)
    assert row.job_ids == [*a, b[0]]
    assert row.drained is False


def test_compressed_arguments_count_as_a_mebibyte(c: Connection) -> None:
    ids = factories.jobs(c, 3, args=json.dumps(["x" * 100_000]))
    assert one(c, "SELECT count(DISTINCT pg_column_compression(args)) FROM pgqueue.jobs") == 1
    row = work(c, factories.worker(c), max_bytes=2**21)
    assert row.job_ids == ids[:2]


# Expiry


def test_a_job_that_has_expired_is_not_started(c: Connection) -> None:
    c.execute("SET timezone = 'UTC'")
    gone = factories.job(c, expires_at=AT)
    last = factories.job(c, expires_at=AT + dt.timedelta(seconds=1))
    row = work(c, factories.worker(c), at=AT)
    assert row.job_ids == [last]
    assert [line[0] for line in row.payload] == [last]
    over = factories.position(c, gone)
    assert (over["state"], over["attempt"], over["error"], over["keep_until"]) == (
        "expired",
        0,
        "expired before it could start",
        "2040-01-31T00:00:00+00:00",
    )


def test_expired_jobs_alone_are_no_batch_and_no_end(c: Connection) -> None:
    factories.jobs(c, 2, expires_at=AT)
    row = work(c, factories.worker(c), max_jobs=2, at=AT)
    assert (row.job_ids, row.payload, row.drained) == ([], [], False)
    assert column(c, "SELECT state FROM pgqueue.job_overview") == ["expired"] * 2


# The floor


def test_a_scan_starts_above_the_last_seq_taken(c: Connection) -> None:
    worker = factories.worker(c)
    low = factories.jobs(c, 3)
    high = factories.jobs(c, 3, priority=5)
    row = work(c, worker, max_jobs=4)
    assert row.job_ids == [*high, low[0]]
    assert json.loads(row.hint_out) == {"default": {"5": high[2], "0": low[0]}}
    row = work(c, worker, 2, hint=row.hint_out)
    assert row.job_ids == low[1:]
    assert json.loads(row.hint_out) == {"default": {"5": high[2], "0": low[2]}}


@pytest.mark.parametrize("priority", [32767, 6, 3, -1, -32768])
def test_a_scan_looks_into_the_gaps_between_known_priorities(c: Connection, priority: int) -> None:
    hint = json.dumps({"default": {"5": 10**9, "0": 10**9}})
    job = factories.job(c, priority=priority)
    assert take(c, hint=hint) == [job]


def test_what_commits_late_is_found_from_zero(c: Connection, writer: Connection) -> None:
    late = factories.job(writer)
    first = factories.job(c)
    worker = factories.worker(c)
    row = work(c, worker)
    assert row.job_ids == [first]
    writer.commit()
    row = work(c, worker, 2, hint=row.hint_out)
    assert (row.job_ids, row.drained) == ([], True)
    assert work(c, worker, 3).job_ids == [late]


@pytest.mark.parametrize("queues", [("default",), ("*",)])
def test_a_full_scan_finds_it_too_and_keeps_what_is_known(
    c: Connection, writer: Connection, queues: tuple[str, ...]
) -> None:
    late = factories.job(writer)
    worker = factories.worker(c)
    high = factories.job(c, priority=5)
    last = factories.job(c)
    row = work(c, worker, queues=queues)
    writer.commit()
    row = work(c, worker, 2, queues, hint=row.hint_out, full_scan=True)
    assert row.job_ids == [late]
    assert json.loads(row.hint_out)["default"]["5"] == high
    assert work(c, worker, 3, queues, hint=json.dumps({"default": {"0": last}})).drained is True


def test_every_queue_with_a_hint_is_every_queue_of_the_hint(c: Connection) -> None:
    known = factories.job(c, queue="known")
    other = factories.job(c, queue="other")
    assert take(c, hint='{"known": {}}') == [known]
    assert take(c) == [other]


def test_a_hint_of_a_thousand_priorities_is_cut(c: Connection) -> None:
    ids = [factories.job(c, priority=priority) for priority in range(100, 0, -1)]
    hint = json.dumps({"default": dict.fromkeys(map(str, range(1, 1001)), 0)})
    assert take(c, hint=hint, max_jobs=200) == ids


def test_outcomes_and_the_next_batch_are_one_transaction(c: Connection) -> None:
    worker = factories.worker(c)
    first, second = factories.jobs(c, 2)
    work(c, worker, 1, max_jobs=1)
    answer = {"batch": 1, "ok": f"{{{first}}}", "us": "{5}"}
    assert work(c, worker, 2, answers=[answer]).job_ids == [second]
    assert factories.state(c, first) == "succeeded"
    assert ok(c, worker, second, batch_no=2).refused is None
