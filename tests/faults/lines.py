"""Scenario: workers are killed while jobs with keys, rates, flows and callbacks run."""

import json
from typing import Any

from tests.faults.arena import Arena
from tests.faults.processes import kill_child
from tests.faults.scenarios import Scenario, register
from tests.faults.tasks import PREFIX

Row = dict[str, Any]

#: Of each kind and cycle.
_EACH = 8
_RATE = "6/2s"
_COLUMNS = ("task", "args", "concurrency_key", "max_running", "rate", "unique_key", "callbacks")


def _strike(arena: Arena) -> None:
    for number in arena.cycle():
        _write(arena, number)
        worker = arena.victim()
        if arena.random.random() < 0.6:
            arena.kill_worker(worker)
            arena.replace(worker)
        else:
            kill_child(arena, worker)
        _write_unique(arena, number)


def _job(key: str, **more: Any) -> Row:
    return {"task": f"{PREFIX}plain", "args": json.dumps([key, 0.01]), **more}


def _called(key: str) -> Row:
    """Give a callback that is a job of ours, with a key of its own."""
    return {"task": f"{PREFIX}called", "args": [f"called:{key}", 0.0]}


def _write(arena: Arena, number: int) -> None:
    """Write jobs whose keys are known beforehand, and with them those that call back."""
    keys = [f"plain:{number}:{n}" for n in range(3 * _EACH)]
    rows = [_job(key, concurrency_key=f"line {n % 2}") for n, key in enumerate(keys[:_EACH])]
    rows += [
        _job(key, concurrency_key="two", max_running=2, callbacks={"on_finish": _called(key)})
        for key in keys[_EACH : 2 * _EACH]
    ]
    rows += [
        _job(key, concurrency_key="rated", rate=_RATE, callbacks={"on_success": _called(key)})
        for key in keys[2 * _EACH :: 2]
    ]
    written = [json.loads(row["args"])[0] for row in rows]
    expected = [f"called:{key}" for key in written if key in keys[_EACH:]]
    flow = [
        {"task": f"{PREFIX}plain", "args": [f"plain:flow:{number}:{n}", 0.01],
         "after": {0: [], 1: [0], 2: [0], 3: [1, 2]}[n],
         **({"concurrency_key": "two", "max_running": 2} if n == 2 else {})}
        for n in range(4)
    ]  # fmt: skip
    whole = f"flow:{number}"
    _enqueue(
        arena, [*written, *expected, *(job["args"][0] for job in flow), f"called:{whole}"],
        rows, flow, {"on_finish": _called(whole)},
    )  # fmt: skip


def _enqueue(
    arena: Arena, keys: list[str], rows: list[Row], flow: list[Row], callbacks: Row
) -> None:
    arena.history.write("enq.invoke", keys=keys, tx="lines")
    places = ", ".join(["%s"] * len(_COLUMNS))
    with arena.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO public.business SELECT unnest(%s::text[])", (keys,))
        for row in rows:
            row["callbacks"] = json.dumps(row["callbacks"]) if "callbacks" in row else None
            connection.execute(
                f"INSERT INTO pgqueue.jobs ({', '.join(_COLUMNS)}) VALUES ({places})".encode(),
                [row.get(name) for name in _COLUMNS],
            )
        connection.execute(
            "SELECT pgqueue.enqueue_flow(%s, callbacks => %s)",
            (json.dumps(flow), json.dumps(callbacks)),
        )
    arena.history.write("enq.ok", keys=keys, tx="lines")


def _write_unique(arena: Arena, number: int) -> None:
    """Write jobs that may be duplicates, one a transaction; only those that were stored count."""
    for n in range(_EACH):
        key = f"plain:unique:{number}:{n}"
        arena.history.write("enq.invoke", keys=[key], tx="unique")
        row = _job(key, unique_key=f"u{n % 2}")
        with arena.connect(autocommit=False) as connection:
            stored = connection.execute(
                "INSERT INTO pgqueue.jobs (task, args, unique_key)"
                " VALUES (%(task)s, %(args)s, %(unique_key)s) RETURNING id",
                row,
            ).fetchone()
            if stored is not None:
                connection.execute("INSERT INTO public.business VALUES (%s)", (key,))
        arena.history.write("enq.abort" if stored is None else "enq.ok", keys=[key], tx="unique")


register(Scenario(
    name="limits", summary="kill -9 while jobs with keys, rates, flows and callbacks run",
    strike=_strike, workers=2, producers=1, jobs=400, cycles=10,
))  # fmt: skip
