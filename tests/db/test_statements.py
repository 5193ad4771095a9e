"""Statements: one text for every driver, and each of them runs."""

import datetime as dt
import re
from typing import Any

import pytest

from pgqueue.core.errors import (
    ConfigurationError,
    JobNotFoundError,
    JobStateError,
    RefusedJobError,
)
from pgqueue.core.options import EnqueueOptions
from pgqueue.core.states import JobState
from pgqueue.db.client import Client
from pgqueue.db.statements import adding, copying, jobs, queues, stats
from pgqueue.db.statements.adding import JobSpec
from pgqueue.db.statements.base import Statement, as_time, colons, numbered
from tests.fixtures.databases import Database

ALL_OPTIONS = EnqueueOptions(
    queue="mail",
    priority=-7,
    run_at=dt.timedelta(minutes=5),
    expires=dt.timedelta(hours=1),
    timeout=12.5,
    max_attempts=4,
    meta={"who": "ann"},
)
AT = dt.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)

EVERY: list[Statement[Any]] = [
    adding.enqueue(JobSpec(task="t")),
    adding.enqueue(JobSpec(task="t", args="[1]", kwargs='{"a":1}', options=ALL_OPTIONS)),
    adding.enqueue(JobSpec(task="t", options=EnqueueOptions(run_at=AT, expires_at=AT))),
    adding.enqueue_many([JobSpec(task="t")]),
    adding.enqueue_many([JobSpec(task="t", concurrency_key="k")]),
    adding.enqueue_each([JobSpec(task="t", unique_key="k", options=ALL_OPTIONS)]),
    jobs.cancel_matching(jobs.Match(task="t", args="[1]", older_than=5.0), "because"),
    queues.limit("q", {"max_running": 5, "rate": None}),
    queues.limit_key("k", None),
    copying.server_time(),
    jobs.get_job(1),
    jobs.list_jobs(),
    jobs.list_jobs(state="ready", queue="q", task="t", before=9, limit=5),
    jobs.job_errors(1),
    jobs.cancel(1, "because"),
    jobs.retry(1, EnqueueOptions()),
    jobs.retry(1, ALL_OPTIONS),
    jobs.delete_job(1),
    jobs.set_priority(1, 5),
    jobs.set_queue(1, "mail"),
    queues.pause("q", 1.5),
    queues.resume("q"),
    queues.configure("q", 0.0, None),
    queues.list_queues(),
    stats.workers(),
    stats.health(),
    stats.check_invariants(),
    stats.prune(10, None, None),
    stats.prune(10, 5.0, None),
]


@pytest.fixture
def client(db: Database) -> Any:
    made = Client(db.dsn)
    yield made
    made.close()


@pytest.mark.parametrize("statement", EVERY, ids=lambda statement: statement.text[:40].strip())
def test_a_text_suits_every_driver(statement: Statement[Any]) -> None:
    bare = re.sub(r"%\((\w+)\)s", "", statement.text)
    assert "%" not in bare
    assert ":" not in bare
    names = set(re.findall(r"%\((\w+)\)s", statement.text))
    assert names <= set(statement.params)
    assert all(value is None or type(value) is str for value in statement.params.values())


def test_placeholders_are_rewritten() -> None:
    text = "SELECT %(b)s, %(a)s, CAST(%(b)s AS text)"
    assert numbered(text) == ("SELECT $1, $2, CAST($1 AS text)", ("b", "a"))
    assert colons(text) == "SELECT :b, :a, CAST(:b AS text)"


def test_the_repr_of_a_call_hides_the_arguments() -> None:
    spec = JobSpec(task="t", args='["hunter2"]', kwargs='{"p": "hunter2"}')
    assert "hunter2" not in repr(spec)
    assert "hunter2" not in repr(adding.enqueue(spec))
    assert "hunter2" not in repr(adding.enqueue_many([spec]))


def test_only_what_is_set_is_sent() -> None:
    assert adding.enqueue(JobSpec(task="t")).text == (
        "INSERT INTO pgqueue.jobs (task) VALUES (CAST(%(task)s AS text)) RETURNING id"
    )


@pytest.mark.parametrize("way", ["one", "many", "copy"])
def test_every_option_arrives(client: Client, way: str) -> None:
    spec = JobSpec(task="t.x", args='[1,"ü\\n\\t\\\\"]', kwargs='{"a":[]}', options=ALL_OPTIONS)
    if way == "one":
        job_id = client.enqueue(spec)
    elif way == "many":
        (job_id,) = client.enqueue_many([spec])
    else:
        assert client.copy([spec]) == 1
        job_id = client.list_jobs()[0].id
    job = client.get_job(job_id)
    assert job is not None
    assert (job.task, job.args, job.kwargs) == ("t.x", (1, "ü\n\t\\"), {"a": []})
    assert (job.queue, job.priority, job.timeout, job.max_attempts) == ("mail", -7, 12.5, 4)
    assert job.meta == {"who": "ann"}
    assert job.state is JobState.SCHEDULED
    assert job.run_at is not None
    assert job.expires_at is not None
    # The server's clock, at most a copy's beginning before the row's.
    delay = job.run_at - job.created_at
    assert dt.timedelta(minutes=4, seconds=30) < delay <= dt.timedelta(minutes=5)
    assert abs(job.expires_at - job.run_at - dt.timedelta(hours=1)) < dt.timedelta(seconds=1)


@pytest.mark.parametrize("way", ["one", "many", "copy"])
def test_absolute_times_arrive_to_the_microsecond(client: Client, way: str) -> None:
    options = EnqueueOptions(run_at=AT, expires=dt.timedelta(seconds=1))
    spec = JobSpec(task="t", options=options)
    if way == "one":
        client.enqueue(spec)
    elif way == "many":
        client.enqueue_many([spec])
    else:
        client.copy([spec])
    job = client.list_jobs()[0]
    assert (job.run_at, job.expires_at) == (AT, AT + dt.timedelta(seconds=1))


def test_a_delay_of_nothing_is_ready_at_once(client: Client) -> None:
    job_id = client.enqueue(JobSpec(task="t", options=EnqueueOptions(run_at=dt.timedelta(0))))
    assert client.get_state(job_id) is JobState.READY


def test_expiry_beyond_the_calendar_is_refused_before_any_sql() -> None:
    options = EnqueueOptions(
        run_at=dt.datetime(9999, 12, 31, tzinfo=dt.UTC), expires=dt.timedelta(days=2)
    )
    with pytest.raises(ConfigurationError, match="before the year 10000"):
        adding.enqueue(JobSpec(task="t", options=options))


def test_ids_come_in_the_order_of_the_jobs(client: Client) -> None:
    mail, other = EnqueueOptions(queue="mail"), EnqueueOptions()
    specs = [
        JobSpec(
            task="t",
            args=f"[{n}]",
            kwargs='{"k":1}' if n % 5 == 0 else "{}",
            options=mail if n % 3 else other,
        )
        for n in range(300)
    ]
    ids = client.enqueue_many(specs)
    assert ids == sorted(set(ids))
    found = {job.id: job for job in client.list_jobs(limit=1000)}
    for n, job_id in enumerate(ids):
        job = found[job_id]
        assert job.args == (n,)
        assert job.kwargs == ({"k": 1} if n % 5 == 0 else {})
        assert job.queue == ("mail" if n % 3 else "default")


def test_one_bad_job_of_many_refuses_all(client: Client) -> None:
    with pytest.raises(RefusedJobError, match="task must be a name"):
        client.enqueue_many([JobSpec(task="t"), JobSpec(task="")])
    assert client.list_jobs() == []


def test_too_much_for_one_statement_is_refused_before_any_sql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adding, "MAX_MANY_BYTES", 100)
    with pytest.raises(RefusedJobError, match="at most 100 bytes"):
        adding.enqueue_many([JobSpec(task="t", args='["' + "x" * 100 + '"]')])


def test_listing_filters_and_pages(client: Client) -> None:
    options = EnqueueOptions(queue="mail")
    ids = client.enqueue_many([JobSpec(task="a", options=options) for _ in range(5)])
    client.enqueue(JobSpec(task="b", options=EnqueueOptions(run_at=dt.timedelta(days=1))))
    assert [job.id for job in client.list_jobs(queue="mail", limit=2)] == ids[:-3:-1]
    assert [job.id for job in client.list_jobs(queue="mail", before=ids[3])] == ids[2::-1]
    assert [job.task for job in client.list_jobs(state="scheduled")] == ["b"]
    assert [job.task for job in client.list_jobs(task="b")] == ["b"]
    assert client.list_jobs(queue="mail", task="b") == []


def test_moving_jobs_by_hand(client: Client) -> None:
    job_id = client.enqueue(JobSpec(task="t"))
    assert client.set_priority(job_id, 9) is JobState.READY
    assert client.set_queue(job_id, "mail") is JobState.READY
    assert client.cancel(job_id, "not needed") is JobState.CANCELLED
    job = client.get_job(job_id)
    assert job is not None
    assert (job.priority, job.error) == (0, "cancelled: not needed")
    assert client.cancel(job_id) is JobState.CANCELLED
    options = EnqueueOptions(run_at=dt.timedelta(hours=1))
    assert client.retry(job_id, options) is JobState.SCHEDULED
    assert client.retry(job_id, EnqueueOptions()) is JobState.READY
    assert client.delete_job(job_id)
    assert not client.delete_job(job_id)
    assert client.get_job(job_id) is None


def test_errors_say_which_job(db: Database, client: Client) -> None:
    with pytest.raises(JobNotFoundError, match="there is no job 77") as caught:
        client.cancel(77)
    assert caught.value.job_id == 77
    assert caught.value.sqlstate == "PQ002"
    with pytest.raises(JobNotFoundError, match="there is no job 77") as caught:
        client.get_state(77)
    assert caught.value.job_id == 77
    job_id = client.enqueue(JobSpec(task="t"))
    worker_id = db.execute("INSERT INTO pgqueue.workers (name) VALUES ('w') RETURNING id")[0][0]
    db.execute("SELECT * FROM pgqueue.dequeue(%s, ARRAY['default'], 1)", (worker_id,))
    assert client.get_state(job_id) is JobState.RUNNING
    with pytest.raises(JobStateError, match="it is running") as raised:
        client.retry(job_id, EnqueueOptions())
    assert raised.value.job_id == job_id
    with pytest.raises(JobStateError, match="must not be running"):
        client.delete_job(job_id)
    assert client.cancel(job_id) is JobState.RUNNING


def test_queues(client: Client) -> None:
    client.pause("mail", 60.0)
    client.configure_queue("mail", 0.0, 86_400.0)
    client.enqueue(JobSpec(task="t", options=EnqueueOptions(queue="mail")))
    (queue,) = client.list_queues()
    assert (queue.queue, queue.ready, queue.paused) == ("mail", 1, True)
    assert queue.resume_at is not None
    assert queue.first_waits is not None
    assert queue.retention_succeeded == dt.timedelta(0)
    assert queue.retention_other == dt.timedelta(days=1)
    assert client.resume("mail")
    assert not client.resume("mail")


def test_workers_and_health(db: Database, client: Client) -> None:
    db.execute("INSERT INTO pgqueue.workers (name, queues) VALUES ('w', '{mail,\"a,b\"}')")
    (worker,) = client.workers()
    assert (worker.name, worker.queues, worker.running) == ("w", ("mail", "a,b"), 0)
    assert not worker.is_lost
    assert client.health()["status"] == "ok"
    assert client.check_invariants() == []


@pytest.mark.dirty
def test_what_must_not_be_is_listed(db: Database, client: Client) -> None:
    job_id = client.enqueue(JobSpec(task="t"))
    db.execute("DELETE FROM pgqueue.ready_jobs")
    (problem,) = client.check_invariants()
    assert (problem.problem, problem.job_id) == ("job in no position", job_id)
    # Until the leader files it, it waits.
    assert client.get_state(job_id) is JobState.BLOCKED


def test_pruning_goes_by_retention_or_by_age(client: Client) -> None:
    client.configure_queue("short", None, 0.0)
    for queue in ("short", "short", "default"):
        job_id = client.enqueue(JobSpec(task="t", options=EnqueueOptions(queue=queue)))
        client.cancel(job_id)
    first = client.prune(1)
    assert first.deleted == 1
    assert first.reached is not None
    assert client.prune(10, floor=first.reached).deleted == 1
    assert client.prune(10).deleted == 0
    assert client.prune(10, older_than=0.0).deleted == 1


def test_a_parked_job_has_the_last_time_there_is(db: Database, client: Client) -> None:
    db.execute("INSERT INTO pgqueue.jobs (task, run_at) VALUES ('t', 'infinity')")
    (job,) = client.list_jobs()
    assert job.state is JobState.SCHEDULED
    assert job.run_at == dt.datetime.max.replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (0, dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
        ("1893553445.678901", AT),
        ("Infinity", dt.datetime.max.replace(tzinfo=dt.UTC)),
        ("-Infinity", dt.datetime.min.replace(tzinfo=dt.UTC)),
        (9e11, dt.datetime.max.replace(tzinfo=dt.UTC)),
        (-9e11, dt.datetime.min.replace(tzinfo=dt.UTC)),
    ],
)
def test_times_are_read(given: object, expected: object) -> None:
    assert as_time(given) == expected
