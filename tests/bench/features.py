"""What a job costs the server that uses a feature, as a ratio to a plain one.

CPU time of the server's process, not the clock: it is steadier beside others. Each measurement of a
feature stands beside one of plain jobs, now before and now after it, and the ratio is that of the
two: a machine that is slower for a while is so for both. The figure is the median over the rounds,
with its quartiles, which say how far to trust it.

A measurement begins with empty tables. The first jobs go through uncounted, so that the statements
have been planned, as those of a worker are that has run for a second; then one statement enqueues
the jobs, and a bare loop takes and answers them in batches. The server's autovacuum is off: it
would come in the midst of one measurement and not of its neighbour.
"""

import json
from pathlib import Path
from typing import Any

import psycopg

from tests.bench import rig

#: What each is called, the columns that its jobs have, and what is done before.
FEATURES: dict[str, tuple[dict[str, str], str]] = {
    "plain": ({}, "SELECT 1"),
    "unique_key": ({"unique_key": "'k' || n"}, "SELECT 1"),
    "unique_for": ({"unique_key": "'k' || n", "unique_for": "interval '1 day'"}, "SELECT 1"),
    "concurrency_key": ({"concurrency_key": "'k' || n"}, "SELECT 1"),
    "concurrency_key of 10": (
        {"concurrency_key": "'k' || n % 10", "max_running": "100"},
        "SELECT 1",
    ),
    "rate of a key": (
        {"concurrency_key": "'k' || n % 10", "rate": "'1000000/s'"},
        "SELECT 1",
    ),
    "fair_key": ({"fair_key": "'k' || n % 100"}, "SELECT 1"),
    "group": (
        {"group_id": "(SELECT max(id) FROM pgqueue.groups)"},
        "SELECT pgqueue.create_group('bench')",
    ),
    "callback": (
        {"callbacks": """'{"on_failure": "bench.noop"}'"""},
        "SELECT 1",
    ),
    # One more job each, whose cost is a plain one's and is taken off.
    "callback that fires": (
        {"callbacks": """'{"on_success": {"task": "bench.noop", "queue": "bench"}}'"""},
        "SELECT 1",
    ),
    "flow of pairs": ({}, "SELECT 1"),
    "flow of a thousand": ({}, "SELECT 1"),
    "max_running": ({}, """SELECT pgqueue.limit_queue('bench', '{"max_running": 1000}')"""),
    "rate": ({}, """SELECT pgqueue.limit_queue('bench', '{"rate": "10000000/s"}')"""),
}
#: Jobs that are there besides those that are asked for, as a part of them.
_MORE = {"callback that fires": 1}
#: Of so many jobs of a flow the last runs after the others; all of them are one flow.
_FLOWS = {"flow of pairs": 2, "flow of a thousand": 1000}
#: Jobs that go through before: a few batches, and a whole flow.
_WARM = 1000
_OFF = """SELECT pgqueue.limit_queue('bench', '{"max_running": null, "rate": null}')"""
_WORK = "SELECT job_ids::text, hint_out FROM pgqueue.work(%s, %s, '{bench}', %s, %s, %s)"


def run(jobs: int, rounds: int, batch: int, only: str | None = None) -> dict[str, Any]:
    """Measure; gives microseconds a job and the ratios to plain, medians over the rounds."""
    names = only.split(",") if only else list(FEATURES)
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    ratios: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    with (
        rig.server(autovacuum="off") as server,
        psycopg.connect(server.dsn(), autocommit=True) as connection,
    ):
        for number in range(rounds):
            for name in names:
                pair = [_measure(connection, "plain", jobs, batch)] if number % 2 else []
                pair.append(_measure(connection, name, jobs, batch))
                if not number % 2:
                    pair.append(_measure(connection, "plain", jobs, batch))
                plain, one = (pair[0], pair[1]) if number % 2 else (pair[1], pair[0])
                one = (one[0], one[1] - _MORE.get(name, 0) * sum(plain))
                costs[name].append(one)
                ratios[name].append((sum(one) / sum(plain), one[0] / plain[0], one[1] / plain[1]))
    found: dict[str, Any] = {"jobs": jobs, "rounds": rounds, "batch": batch}
    for name in names:
        whole, enqueue, work = zip(*ratios[name], strict=True)
        found[name] = {
            "enqueue_us": round(rig.median([one[0] for one in costs[name]]), 1),
            "work_us": round(rig.median([one[1] for one in costs[name]]), 1),
            "ratio": round(rig.median(whole), 2),
            "ratio_quartiles": [
                round(rig.percentile(whole, 0.25), 2),
                round(rig.percentile(whole, 0.75), 2),
            ],
            "ratio_enqueue": round(rig.median(enqueue), 2),
            "ratio_work": round(rig.median(work), 2),
        }
    return found


def _measure(connection: rig.Connection, name: str, jobs: int, batch: int) -> tuple[float, float]:
    """Begin with nothing, warm up, and measure once."""
    columns, before = FEATURES[name]
    rig.clean(connection)
    connection.execute(before.encode())
    _once(connection, name, columns, _WARM, batch, first=jobs)
    costs = _once(connection, name, columns, jobs, batch)
    connection.execute(_OFF.encode())
    return costs


def _once(
    connection: rig.Connection,
    name: str,
    columns: dict[str, str],
    jobs: int,
    batch: int,
    first: int = 0,
) -> tuple[float, float]:
    """Enqueue, and work off; gives CPU microseconds a job of each."""
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", {value}" for value in columns.values())
    size = _FLOWS.get(name)
    flow = _flow(jobs, size) if size else ""
    begun = _cpu(connection)
    if size:
        connection.execute("SELECT pgqueue.enqueue_flow(%s)", (flow,))
    else:
        connection.execute(
            f"INSERT INTO pgqueue.jobs (task, queue{names})"
            f" SELECT 'bench.noop', 'bench'{values}"
            f" FROM generate_series({first + 1}, {first + jobs}) AS n".encode()
        )
    enqueued = _cpu(connection)
    worker_id = int(rig.number(connection, "SELECT pgqueue.register_worker('bench')"))
    hint: object = None
    outcomes, number, done = None, 0, 0
    expected = jobs * (1 + _MORE.get(name, 0))
    while done < expected or outcomes:
        number += 1
        row = connection.execute(
            _WORK, (worker_id, number, batch, outcomes, hint), prepare=True
        ).fetchone()
        assert row is not None
        ids, hint = str(row[0] or "{}"), row[1]
        count = ids.count(",") + 1 if ids != "{}" else 0
        assert count or outcomes, f"{name}: {expected - done} jobs do not come"
        done += count
        outcomes = (
            f'[{{"batch":{number},"ok":"{ids}","us":"{{{",".join(["10"] * count)}}}"}}]'
            if count
            else None
        )
    worked = _cpu(connection)
    connection.execute("SELECT pgqueue.forget_worker(%s)", (worker_id,))
    return (enqueued - begun) / jobs, (worked - enqueued) / jobs


def _flow(jobs: int, size: int) -> str:
    """Write a flow as a client sends it; of each so many jobs the last runs after the others."""
    return json.dumps(
        [
            {"task": "bench.noop", "queue": "bench"}
            | ({"after": list(range(n - size + 1, n))} if n % size == size - 1 else {})
            for n in range(jobs // size * size)
        ]
    )


def _cpu(connection: rig.Connection) -> float:
    """Microseconds of CPU that the server's process has used."""
    stat = Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text(encoding="ascii")
    return int(stat.split()[0]) / 1000
