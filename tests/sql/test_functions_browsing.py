"""find_jobs and history: what they find, in what order, and how much they read."""

import json
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.sql.calls import refused

Connection = psycopg.Connection[Any]


def find(c: Connection, **words: Any) -> tuple[list[int], str | None, Any]:
    """Call find_jobs."""
    given = ", ".join(f"{name} => %({name})s" for name in words)
    row = c.execute(
        f"SELECT job_ids, next, reached::text FROM pgqueue.find_jobs({given})", words
    ).fetchone()
    assert row is not None
    return row


def every(c: Connection, **words: Any) -> list[int]:
    """Follow the pages to the end."""
    found: list[int] = []
    after = None
    for _ in range(1000):
        ids, after, _reached = find(c, after=after, **words)
        found += ids
        if after is None:
            return found
    raise AssertionError("the pages never end")


def test_pages_of_any_size_give_the_same(c: Connection) -> None:
    for number in range(30):
        state = ("succeeded", "failed", "cancelled", "expired")[number % 4]
        at = f"2024-01-0{1 + number % 3}"
        factories.finished(c, state, finished_at=at, task=f"task {number % 2}")
        factories.scheduled(c, at, task=f"task {number % 2}")
    factories.scheduled(c)
    factories.jobs(c, 10)
    ways: list[dict[str, Any]] = [{}, {"task": "task 1"}, {"task_part": "SK 0"}]
    for state in (None, "succeeded", "failed", "expired", "scheduled", "ready"):
        for way in ways:
            whole = every(c, state=state, **way)
            assert len(set(whole)) == len(whole)
            for max_jobs, max_looks in ((1, 50), (3, 3), (7, 2), (2, 1)):
                parts = every(c, state=state, max_jobs=max_jobs, max_looks=max_looks, **way)
                assert parts == whole, (state, way, max_jobs, max_looks)
    assert len(every(c)) == 71
    assert len(every(c, task="task 1")) == 30


def test_the_order(c: Connection) -> None:
    late = factories.finished(c, "failed", finished_at="2024-01-03")
    early = factories.finished(c, "failed", finished_at="2024-01-01")
    middle = factories.finished(c, "failed", finished_at="2024-01-02")
    assert find(c, state="failed")[0] == [late, middle, early]
    parked, soon = factories.scheduled(c), factories.scheduled(c, "2024-01-01")
    assert find(c, state="scheduled")[0] == [soon, parked]
    assert find(c, state="scheduled", max_jobs=1)[1] == f"2024-01-01 00:00:00+00~{soon}"
    assert every(c, state="scheduled", max_jobs=1) == [soon, parked]
    assert find(c)[0] == sorted([late, early, middle, parked, soon], reverse=True)


def test_times(c: Connection) -> None:
    made = {day: factories.job(c, created_at=f"2024-01-{day:02}") for day in (1, 2, 3, 5, 8)}
    days = {job: day for day, job in made.items()}

    def between(since: str | None, until: str | None, **words: Any) -> list[int]:
        found = find(c, since=since, until=until, **words)[0]
        return sorted(days[job] for job in found)

    assert between("2024-01-02", None) == [2, 3, 5, 8]
    assert between("2024-01-02 00:00:01", "2024-01-08") == [3, 5]
    assert between("2024-01-04", "2024-01-05 00:00:01", state="ready") == [5]
    assert between(None, "2024-01-02") == [1]
    assert between("2025-01-01", None) == []
    assert between("infinity", None) == []
    assert between("-infinity", "infinity") == [1, 2, 3, 5, 8]
    failed = factories.finished(c, "failed", finished_at="2030-01-01", created_at="2024-01-09")
    assert find(c, state="failed", since="2029-01-01")[0] == [failed]
    assert find(c, state="failed", until="2029-01-01")[0] == []


def test_arguments(c: Connection) -> None:
    job = factories.job(c, args='[42, {"a": 1}]', kwargs='{"order": 7, "b": [1]}')
    done = factories.finished(c, args="[42]")
    factories.job(c, args="[43]")
    large = factories.job(c, args=json.dumps([42, [str(n * 7919) for n in range(60_000)]]))
    assert find(c, args="[42]")[0] == [done, job]
    assert find(c, args="[42]", state="succeeded")[0] == [done]
    assert find(c, kwargs='{"order": 7}')[0] == [job]
    assert find(c, kwargs='{"order": 8}')[0] == []
    assert large not in find(c, args="[42]")[0]


def test_workers(c: Connection) -> None:
    running = factories.running(c)
    factories.running(c)
    worker = factories.position(c, running)["worker_id"]
    done = factories.finished(c, worker_id=worker)
    assert find(c, state="running", worker_id=worker)[0] == [running]
    assert find(c, state="succeeded", worker_id=worker)[0] == [done]
    assert find(c, worker_id=worker)[0] == []


def test_groups(c: Connection) -> None:
    group, jobs = _group(c, 12)
    _group(c, 3)
    factories.jobs(c, 5)
    c.execute("SELECT pgqueue.cancel(%s)", (jobs[3],))
    c.execute("SELECT pgqueue.set_queue(%s, 'mail')", (jobs[4],))
    (at,) = (
        c.execute("SELECT created_at FROM pgqueue.jobs WHERE id = %s", (jobs[6],)).fetchone() or ()
    )
    ways: list[tuple[dict[str, Any], list[int]]] = [
        ({}, jobs),
        ({"state": "ready"}, [*jobs[:3], *jobs[4:]]),
        ({"state": "cancelled"}, [jobs[3]]),
        ({"state": "failed"}, []),
        ({"state": "scheduled"}, []),
        ({"task": "task 1"}, jobs[1::2]),
        ({"queue": "mail"}, [jobs[4]]),
        ({"since": at}, jobs[6:]),
        ({"until": at}, jobs[:6]),
        ({"worker_id": 1}, []),
        ({"args": "[1]"}, []),
    ]
    for words, wanted in ways:
        for max_jobs, max_looks in ((100, 100), (2, 100), (100, 2), (3, 5)):
            words |= {"max_jobs": max_jobs, "max_looks": max_looks}
            assert every(c, group_id=group, **words) == wanted[::-1], words
    worker = factories.worker(c)
    query = "UPDATE pgqueue.finished_jobs SET worker_id = %s WHERE job_id = %s"
    c.execute(query, (worker, jobs[3]))
    assert find(c, group_id=group, worker_id=worker)[0] == [jobs[3]]
    assert find(c, group_id=4711)[0] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"state": "done"}, "state must be one of blocked, scheduled, ready, running, succeeded, "
                            "failed, cancelled, expired; got done"),
        ({"after": "x"}, "after must be what the page before gave as next"),
        ({"after": "5", "state": "failed"}, "after must be what the page before gave as next"),
        ({"after": "1~1"}, "after must be what the page before gave as next"),
        ({"max_jobs": 0}, "max_jobs and max_looks must be between 1 and 1000000"),
        ({"max_looks": 1_000_001}, "max_jobs and max_looks must be between 1 and 1000000"),
    ],
)  # fmt: skip
def test_what_find_jobs_refuses(words: dict[str, Any], said: str, c: Connection) -> None:
    with refused("PQ004", said):
        find(c, **words)


@pytest.mark.parametrize("evil", ["'; DROP SCHEMA pgqueue; --", "%s", "\\", "$$", "a%1$sb", '"'])
def test_no_value_becomes_a_part_of_the_statement(evil: str, c: Connection) -> None:
    job = factories.job(c, evil, queue=evil, args=json.dumps([evil]))
    done = factories.finished(c, task=evil, queue=evil)
    assert find(c, task=evil, queue=evil, task_part=evil)[0] == [done, job]
    assert find(c, state="succeeded", task=evil, queue=evil)[0] == [done]
    assert find(c, args=json.dumps([evil]))[0] == [job]


@pytest.mark.parametrize(
    ("words", "buffers"),
    [
        ({}, 60),
        ({"task": "rare", "max_looks": 1000}, 60),
        ({"state": "succeeded"}, 60),
        ({"state": "failed"}, 250),
        ({"state": "failed", "since": "2024-01-01", "until": "2024-01-02"}, 250),
        ({"since": "2024-01-01", "until": "2024-01-02"}, 500),
        ({"state": "ready"}, 60),
        ({"task": "rare", "state": "succeeded", "max_looks": 1000}, 3_500),
    ],
)
def test_what_a_page_reads_does_not_grow_with_the_jobs(
    words: dict[str, Any], buffers: int, c: Connection
) -> None:
    _fill(c)
    assert _read(c, **words) <= buffers


def test_a_group_is_found_without_reading_all_jobs(c: Connection) -> None:
    group, jobs = _group(c, 30)
    _fill(c)
    assert find(c, group_id=group)[0] == jobs[::-1]
    for words in ({}, {"state": "ready"}, {"since": "2020-01-01"}, {"after": str(jobs[20])}):
        assert _read(c, group_id=group, **words) <= 250, words


def _group(c: Connection, members: int) -> tuple[int, list[int]]:
    (group,) = c.execute("SELECT pgqueue.create_group('g')").fetchone() or (0,)
    return group, [factories.job(c, group_id=group, task=f"task {n % 2}") for n in range(members)]


def _fill(c: Connection) -> None:
    """Have 20,000 jobs that are over."""
    c.execute("ALTER TABLE pgqueue.jobs DISABLE TRIGGER jobs_file")
    c.execute(
        "INSERT INTO pgqueue.jobs (task, created_at) SELECT 'task', '2024-01-01'::timestamptz "
        "+ n * interval '30 s' FROM generate_series(1, 20000) AS n"
    )
    c.execute(
        "INSERT INTO pgqueue.finished_jobs (job_id, state, attempt, finished_at, keep_until) "
        "SELECT j.id, CASE WHEN j.id % 50 = 0 THEN 'failed' ELSE 'succeeded' END, 1, j.created_at, "
        "'infinity' FROM pgqueue.jobs AS j WHERE j.group_id IS NULL"
    )
    c.execute("ALTER TABLE pgqueue.jobs ENABLE ALWAYS TRIGGER jobs_file")
    c.execute("VACUUM ANALYZE pgqueue.jobs, pgqueue.finished_jobs")


def _read(c: Connection, **words: Any) -> int:
    """Give how many blocks a page reads."""
    find(c, **words)
    given = ", ".join(f"{name} => %({name})s" for name in words)
    plan = c.execute(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM pgqueue.find_jobs({given})", words
    ).fetchone()
    assert plan is not None
    return int(plan[0][0]["Plan"]["Shared Hit Blocks"] + plan[0][0]["Plan"]["Shared Read Blocks"])


def test_history_counts_what_ended(c: Connection) -> None:
    at = "2024-01-01 12:00:00+00"
    c.execute("SELECT pgqueue.configure_queue('own', '1 day', '2 days')")
    for queue, keep in (("default", "168 h"), ("own", "24 h")):
        for number in range(10):
            job = factories.job(
                c, queue=queue, run_at="infinity", created_at="2024-01-01 11:59:29.5+00"
            )
            c.execute("SELECT pgqueue.cancel(%s)", (job,))
            c.execute(
                "UPDATE pgqueue.finished_jobs SET state = 'succeeded', attempt = 1,"
                " started_at = '2024-01-01 11:59:30+00', finished_at = '2024-01-01 11:59:31+00',"
                f" keep_until = '2024-01-01 11:59:31+00'::timestamptz + interval '{keep}'"
                " WHERE job_id = %s",
                (job,),
            )
            del number
    c.execute("UPDATE pgqueue.jobs SET run_at = NULL")
    rows = c.execute(
        "SELECT begins::text, seconds, succeeded, failed, run_p50, run_p95, wait_p50, wait_p95"
        " FROM pgqueue.history('5 min', 30, at => %s)",
        (at,),
    ).fetchall()
    assert len(rows) == 30
    busy = [row for row in rows if row[2]]
    assert len(busy) == 1
    assert busy[0][1:] == (10, 2, 0, 1, 1, 0.5, 0.5)
    # Of more rows than are read, the rate is that of the last ones.
    few = c.execute(
        "SELECT max(succeeded) FROM pgqueue.history('5 min', 30, 5, %s)", (at,)
    ).fetchone()
    assert few is not None
    assert few[0] == pytest.approx(10 / 9, rel=0.01)


def test_retention_does_not_know_days_of_23_hours(c: Connection) -> None:
    c.execute("SET timezone = 'Europe/Berlin'")
    c.execute("SELECT pgqueue.configure_queue('own', '7 days', NULL)")
    for queue, state in (("default", "succeeded"), ("own", "succeeded"), ("own", "failed")):
        found = c.execute(
            "SELECT '2024-03-30 12:00'::timestamptz + pgqueue.retention(%s, %s)"
            " - '2024-03-30 12:00'::timestamptz = make_interval(hours => %s)",
            (queue, state, 168 if state == "succeeded" else 720),
        ).fetchone()
        assert found == (True,)


@pytest.mark.parametrize(
    "words", ["bins => 0", "bins => 1001", "per_bin => 0", "'400 days'", "'0'"]
)
def test_what_history_refuses(words: str, c: Connection) -> None:
    said = (
        "bins must be between 1 and 1000, per_bin between 1 and 10000, since at most 366 days "
        "and a bin at least 10 ms"
    )
    with refused("PQ004", said):
        c.execute(f"SELECT * FROM pgqueue.history({words})")
