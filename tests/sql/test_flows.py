"""Flows: what runs after what, with whose results; nobody is forgotten, nothing is quadratic."""

import json
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database
from tests.plans.measure import cost
from tests.sql.calls import column, ok, one, refused, tell, work
from tests.sql.sleeper import WRITING, Connection, locks

Item = dict[str, Any]


@pytest.fixture
def worker(c: Connection) -> int:
    return factories.worker(c)


def flow(c: Connection, *items: Item, **more: Any) -> list[int]:
    """Enqueue a flow; gives the ids."""
    whole = [{"task": "t", **item} for item in items]
    named = {"jobs": json.dumps(whole), **more}
    call = ", ".join(f"{name} => %({name})s" for name in named)
    row = c.execute(f"SELECT job_ids FROM pgqueue.enqueue_flow({call})", named).fetchone()
    assert row is not None
    return list(row[0])


def states(c: Connection, ids: list[int]) -> list[str | None]:
    return [factories.state(c, job) for job in ids]


def run(c: Connection, worker: int, job: int, state: str = "succeeded", **more: Any) -> None:
    """Take what is ready, and tell the outcome of one job of it; the rest goes back."""
    taken = work(c, worker).job_ids
    assert job in taken, taken
    for other in taken:
        if other == job:
            tell(c, worker, job, state, **more)
        else:
            tell(c, worker, other, "unstarted")


def test_jobs_run_after_each_other_with_their_results(c: Connection, worker: int) -> None:
    a, b, last = flow(
        c, {"name": "a"}, {"name": "b", "after": ["a"], "results_as": "list"},
        {"after": ["b", 0], "results_as": "args", "args": [9], "timeout": "5 s"},
    )  # fmt: skip
    assert states(c, [a, b, last]) == ["ready", "blocked", "blocked"]
    run(c, worker, a, result={"x": 1})
    assert states(c, [b, last]) == ["ready", "blocked"]
    row = work(c, worker)
    assert row.payload[0][8]["results"] == [{"x": 1}]
    assert row.payload[0][8]["results_as"] == "list"
    tell(c, worker, b, "succeeded")
    options = work(c, worker).payload[0][8]
    assert (options["results"], options["results_as"], options["timeout"]) == (
        [None, {"x": 1}], "args", 5,
    )  # fmt: skip


def test_a_delay_counts_when_the_jobs_before_are_over(c: Connection, worker: int) -> None:
    a, b = flow(c, {}, {"after": [0], "run_at": "2999-01-01"})
    run(c, worker, a)
    assert states(c, [b]) == ["scheduled"]


@pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
def test_what_becomes_of_those_behind_a_job_that_did_not_succeed(
    c: Connection, worker: int, state: str
) -> None:
    ids = flow(
        c, {"expires_at": "2999-01-01"}, {"after": [0]}, {"after": [1]},
        {"after": [0], "run_if": "finished"}, {"after": [1], "run_if": "failed"},
        {"after": [2, 3], "run_if": "finished"}, callbacks='{"on_failure": "bad"}',
    )  # fmt: skip
    if state == "expired":
        c.execute("SELECT pgqueue.expire(at => '3000-01-01')")
    elif state == "cancelled":
        c.execute("SELECT pgqueue.cancel(%s)", (ids[0],))
    else:
        run(c, worker, ids[0], "failed")
    assert states(c, ids) == [state, "cancelled", "cancelled", "ready", "ready", "blocked"]
    assert one(c, "SELECT error FROM pgqueue.finished_jobs WHERE job_id = %s", ids[2]) == (
        "cancelled: a job before it did not succeed"
    )
    run(c, worker, ids[3])
    assert states(c, ids[5:]) == ["ready"]
    run(c, worker, ids[4])
    run(c, worker, ids[5])
    counted = "SELECT succeeded, failed + cancelled, skipped, total FROM pgqueue.group_overview"
    assert one(c, counted) == (3, 3, 0, 6)


def test_a_fallback_is_skipped_where_nothing_fails(c: Connection, worker: int) -> None:
    ids = flow(
        c, {}, {"after": [0], "run_if": "failed"}, {"after": [1]},
        {"after": [1], "run_if": "failed"}, {"after": [1, 0], "run_if": "finished"},
    )  # fmt: skip
    run(c, worker, ids[0])
    assert states(c, ids) == ["succeeded", "cancelled", "cancelled", "cancelled", "ready"]
    run(c, worker, ids[4])
    assert one(c, "SELECT state, skipped, cancelled FROM pgqueue.group_overview") == (
        "succeeded", 3, 0,
    )  # fmt: skip


def test_two_who_end_the_last_two_jobs_before_it_at_once(db: Database, c: Connection) -> None:
    """One cannot lock the job behind, leaves its count, and the leader lets it go."""
    ids = flow(c, {}, {}, {"after": [0, 1]})
    workers = [factories.worker(c), factories.worker(c)]
    for w in workers:
        work(c, w, max_jobs=1)
    first, second = db.connect(autocommit=False), db.connect(autocommit=False)
    second.execute("SET lock_timeout = '5s'")
    ok(first, workers[0], ids[0])
    ok(second, workers[1], ids[1])
    second.commit()
    c.execute("SELECT pgqueue.promote()")
    assert states(c, ids) == ["running", "succeeded", "blocked"]
    first.commit()
    c.execute("SELECT pgqueue.promote()")
    assert states(c, ids) == ["succeeded", "succeeded", "ready"]


def test_the_leader_does_not_ring_for_itself(
    c: Connection, writer: Connection, worker: int
) -> None:
    """What it cannot count since somebody holds the row, it counts with its next look."""
    first, last = flow(c, {}, {"after": [0]})
    work(c, worker)
    writer.execute("SELECT FROM pgqueue.job_waits FOR UPDATE")
    with c.transaction():
        ok(c, worker, first)
        assert 65 in locks(c, WRITING)
    for _ in range(2):
        with c.transaction():
            c.execute("SELECT pgqueue.promote()")
            assert 65 not in locks(c, WRITING)
    writer.rollback()
    c.execute("SELECT pgqueue.promote()")
    assert work(c, worker, 2).job_ids == [last]


@pytest.mark.parametrize(("end", "expected"), [("rollback", "ready"), ("commit", "cancelled")])
def test_a_cancel_beside_the_end_of_the_job_before(
    db: Database, c: Connection, worker: int, end: str, expected: str
) -> None:
    """The finish waits for nobody; what it could not let go, the leader does."""
    a, b = flow(c, {}, {"after": [0]})
    work(c, worker)
    canceller = db.connect(autocommit=False)
    canceller.execute("SELECT pgqueue.cancel(%s)", (b,))
    c.execute("SET lock_timeout = '5s'")
    ok(c, worker, a)
    getattr(canceller, end)()
    c.execute("SELECT pgqueue.promote()")
    assert states(c, [a, b]) == ["succeeded", expected]


def test_a_flow_goes_on_from_where_it_failed(c: Connection, worker: int) -> None:
    ids = flow(
        c, {}, {"after": [0]}, {"after": [1]}, {"after": [1], "run_if": "finished"},
        {"after": [2, 3]}, {"after": [5 - 5], "run_if": "finished"},
        {"after": [4, 5], "run_if": "finished"},
    )  # fmt: skip
    run(c, worker, ids[0])
    run(c, worker, ids[1], "failed")
    run(c, worker, ids[3])
    assert states(c, ids) == [
        "succeeded", "failed", "cancelled", "succeeded", "cancelled", "ready", "blocked",
    ]  # fmt: skip
    group = one(c, "SELECT id FROM pgqueue.groups")
    assert one(c, "SELECT pgqueue.retry_group(%s)", group) == 3
    assert states(c, ids) == [
        "succeeded", "ready", "blocked", "succeeded", "blocked", "ready", "blocked",
    ]  # fmt: skip
    assert column(c, "SELECT problem FROM pgqueue.check_invariants()") == []
    for job in (1, 2, 4, 5, 6):
        run(c, worker, ids[job])
    assert set(states(c, ids)) == {"succeeded"}
    assert one(c, "SELECT state FROM pgqueue.group_overview") == "succeeded"


def test_a_job_that_is_retried_alone_is_waited_for_again(c: Connection, worker: int) -> None:
    ids = flow(c, {}, {}, {"after": [0, 1]})
    run(c, worker, ids[0])
    c.execute("SELECT pgqueue.retry(%s)", (ids[0],))
    run(c, worker, ids[1])
    assert states(c, ids) == ["ready", "succeeded", "blocked"]
    run(c, worker, ids[0])
    assert states(c, ids)[2] == "ready"


def test_a_deleted_job_is_not_waited_for(c: Connection) -> None:
    ids = flow(c, {}, {"after": [0]}, {"after": [0], "run_if": "finished"})
    c.execute("DELETE FROM pgqueue.jobs WHERE id = %s", (ids[0],))
    c.execute("SELECT pgqueue.promote()")
    assert states(c, ids) == [None, "cancelled", "ready"]
    c.execute("DELETE FROM pgqueue.jobs")
    assert one(c, "SELECT count(*) FROM pgqueue.job_waits") == 0
    c.execute("SELECT pgqueue.advance()")


def test_results_are_kept_until_the_flow_has_ended(c: Connection, worker: int) -> None:
    c.execute("SELECT pgqueue.configure_queue('default', retention_succeeded => '0')")
    ids = flow(c, {}, {"after": [0], "results_as": "args"})
    run(c, worker, ids[0], result=7)
    c.execute("SELECT pgqueue.prune()")
    assert work(c, worker).payload[0][8]["results"] == [7]
    tell(c, worker, ids[1], "succeeded")
    c.execute("SELECT pgqueue.tidy()")
    c.execute("SELECT pgqueue.prune(at => clock_timestamp() + '59 min')")
    assert states(c, ids) == ["succeeded", "succeeded"]
    c.execute("SELECT pgqueue.prune(at => clock_timestamp() + '61 min')")
    assert states(c, ids) == [None, None]


def test_results_that_are_too_large_stand_in_nobodys_way(c: Connection, worker: int) -> None:
    ids = flow(c, *({} for _ in range(18)), {"after": list(range(18)), "results_as": "list"})
    work(c, worker)
    for job in ids[:18]:
        tell(c, worker, job, "succeeded", result="x" * 1_000_000)
    [line] = work(c, worker).payload
    assert (line[0], line[8]["results"]) == (ids[18], None)


# After any job


def test_a_job_may_run_after_older_ones(c: Connection, worker: int) -> None:
    first, second = factories.job(c), factories.finished(c)
    late = factories.job(c, after=[first, second], results_as="args")
    careless = factories.job(c, after=[first], run_if="finished")
    c.execute("SELECT pgqueue.promote()")
    assert states(c, [late, careless]) == ["blocked", "blocked"]
    work(c, worker)
    ok(c, worker, first)
    c.execute("SELECT pgqueue.promote()")
    assert states(c, [late, careless]) == ["ready", "ready"]
    orphan = factories.job(c, after=[1_000, late] if late > 1_000 else [late])
    c.execute("DELETE FROM pgqueue.jobs WHERE id = %s", (late,))
    c.execute("SELECT pgqueue.promote()")
    assert states(c, [orphan]) == ["cancelled"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"run_if": "failed"},
         "run_if and results_as must be given with after; got no jobs to run after"),
        ({"after": [9**15]},
         "after must name jobs that were enqueued before; got {big} for job {id}"),
        ({"after": [None]}, "after must be an array of ids; got null among them"),
        ({"after": [-1], "run_if": "x"}, "run_if must be succeeded, finished or failed; got 'x'"),
        ({"after": [-1], "results_as": "x"}, "results_as must be args or list; got 'x'"),
    ],
)  # fmt: skip
def test_what_could_never_run_is_refused(c: Connection, columns: Item, message: str) -> None:
    expected = message.format(big=9**15, id=one(c, "SELECT nextval('pgqueue.jobs_id_seq')") + 1)
    hint = "see COMMENT ON COLUMN pgqueue.jobs for what each column takes"
    with refused("PQ001", expected, hint):
        factories.job(c, **columns)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"name": "a", "after": ["c"]}, {"name": "b", "after": ["a"]},
          {"name": "c", "after": [1]}],
         "a flow must not run in a circle; got 'a' after 'c' after 'b' after 'a'"),
        ([{"after": [0]}], "a flow must not run in a circle; got jobs[0] after jobs[0]"),
        ([{"after": [7]}], "jobs[0]: after must name jobs of the flow; there is no 7"),
        ([{"after": ["x"]}], "jobs[0]: after must name jobs of the flow; there is no x"),
        ([{"name": "a"}, {"name": "a"}], "the names of the jobs of a flow must differ"),
        ([{"unique_key": "a"}], None),
        ([], "a flow must have at least one job; got none"),
    ],
)  # fmt: skip
def test_flows_that_could_never_run_are_refused(
    c: Connection, items: list[Item], message: str | None
) -> None:
    whole = json.dumps([{"task": "t", **item} for item in items])
    try:
        c.execute("SELECT pgqueue.enqueue_flow(%s)", (whole,))
    except Exception as error:
        said = str(error).splitlines()[0]
        assert said == message or (message is None and "must have no keys but" in said)
    else:
        raise AssertionError("it was taken")
    assert one(c, "SELECT count(*) FROM pgqueue.jobs") == 0
    assert one(c, "SELECT count(*) FROM pgqueue.groups") == 0


def test_a_running_job_puts_others_before_those_behind_it(c: Connection, worker: int) -> None:
    ids = flow(c, {}, {"after": [0]})
    group = one(c, "SELECT id FROM pgqueue.groups")
    work(c, worker)
    more = flow(c, {}, {"after": [0]}, {}, group_id=group, before=[ids[1]])
    ok(c, worker, ids[0])
    assert states(c, ids) == ["succeeded", "blocked"]
    for job in more:
        run(c, worker, job)
    assert states(c, ids) == ["succeeded", "ready"]
    hint = "one of them runs or is over already, or runs after jobs of no flow"
    with refused("PQ003", "before must name jobs of a flow that still wait for others", hint):
        flow(c, {}, group_id=group, before=[ids[0]])


def test_a_flow_inside_a_running_job_stands_before_those_behind_it(
    c: Connection, worker: int
) -> None:
    ids = flow(c, {}, {}, {"after": [0, 1]}, {"after": [0]}, {"after": [2]})
    work(c, worker, max_jobs=1)
    # One behind it is gone, and one of no flow is not held up.
    one(c, "SELECT pgqueue.cancel(%s)", ids[3])
    stranger = factories.job(c, after=[ids[0]])
    more = flow(c, {"run_in": 0}, {"after": [0], "expires_in": 60}, inside=ids[0])
    assert column(c, "SELECT DISTINCT group_id FROM pgqueue.jobs WHERE id = ANY (%s)", more) == (
        column(c, "SELECT id FROM pgqueue.groups")
    )
    ok(c, worker, ids[0])
    c.execute("SELECT pgqueue.advance()")
    assert states(c, [stranger]) == ["ready"]
    for job in (ids[1], *more):
        assert states(c, [ids[2]]) == ["blocked"]
        run(c, worker, job)
    assert states(c, [ids[2], ids[4]]) == ["ready", "blocked"]
    with refused(
        "PQ003",
        f"inside must name a job that runs; job {ids[0]} does not",
        "give the context of the running job; let jobs that wait run after others with after or "
        "before",
    ):
        flow(c, {}, inside=ids[0])


def test_a_flow_inside_a_job_of_no_group_has_one_of_its_own(c: Connection, worker: int) -> None:
    job = factories.running(c, worker)
    (other,) = flow(c, {}, inside=job)
    assert one(c, "SELECT state FROM pgqueue.group_overview") == "closed"
    run(c, worker, other)
    assert one(c, "SELECT state FROM pgqueue.group_overview") == "succeeded"


# Size


@pytest.mark.parametrize("shape", ["in", "out"])
def test_what_a_fan_costs_is_linear(c: Connection, worker: int, shape: str) -> None:
    """Buffers for each job of a flow to end, at 100 and at 1,000 jobs."""
    buffers = {}
    for size in (100, 1000):
        rest: list[Item] = [{} for _ in range(size - 1)]
        if shape == "in":
            ids = flow(c, *rest, {"after": list(range(size - 1))})
        else:
            ids = flow(c, {}, *({"after": [0]} for _ in rest))
        total, batch = 0, 0
        while True:
            batch += 1
            taken = work(c, worker, 1000 * size + batch, max_jobs=50).job_ids
            if not taken:
                break
            array = "{" + ",".join(map(str, taken)) + "}"
            answer = json.dumps([{"batch": 1000 * size + batch, "ok": array, "us": array}])
            query = "SELECT pgqueue.work(%s, 9, '{}', 0, %s)"
            total += cost(c, query, (worker, answer)).buffers
        assert set(states(c, ids)) == {"succeeded"}
        buffers[size] = total / size
        c.execute("TRUNCATE pgqueue.jobs")
    assert buffers[1000] < 1.3 * buffers[100] + 5, buffers


def test_a_flow_of_ten_thousand_is_one_statement_and_falls_in_one(
    c: Connection, worker: int
) -> None:
    items: list[Item] = [{"after": [n - 1]} if n else {} for n in range(10_000)]
    ids = flow(c, *items)
    assert one(c, "SELECT count(*) FROM pgqueue.blocked_jobs") == 9_999
    work(c, worker)
    tell(c, worker, ids[0], "failed")
    counted = "SELECT state, failed, cancelled FROM pgqueue.group_overview"
    assert one(c, counted) == ("failed", 1, 9_999)
    c.execute("TRUNCATE pgqueue.jobs")
