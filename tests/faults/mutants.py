"""What is wrong on purpose must be caught: `python -m tests.faults --mutants`.

Of the SQL (`sql_mutants.py`) with workers in SQL, of the worker (`mutated.py`) with real ones, each
by a short campaign that its right version passes.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from pgqueue.db.embedded import EmbeddedServer
from tests.faults.arena import Arena
from tests.faults.campaign import create_database, run, shared_server
from tests.faults.checker import Report
from tests.faults.crew import Crew
from tests.faults.mutated import CHILD, SUPERVISOR
from tests.faults.scenarios import Scenario, scenarios
from tests.faults.sql_mutants import SQL_MUTANTS, SqlMutant

#: Seconds in which a campaign of mutants must have done its jobs; the right version needs two.
_DRAIN = 4.0
_DRAIN_WORKERS = 5.0
#: Campaigns in one of which a mutant must be caught; one alone may miss the moment it takes.
_SEEDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerMutant:
    """One thing wrong in the worker.

    Attributes:
        scenario: that shows it.
        caught_by: verdicts of which at least one must find something.
        options: of the worker, after the scenario's own.
        env: more of the worker's environment.
        slow: not for the default suite.
    """

    name: str
    scenario: str
    caught_by: frozenset[str]
    jobs: int = 200
    cycles: int = 3
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    mix: dict[str, int] | None = None
    sql: SqlMutant | None = None
    slow: bool = True


def _mutant(name: str, scenario: str, by: str, **more: object) -> WorkerMutant:
    return WorkerMutant(
        name=name, scenario=scenario, caught_by=frozenset(by.split()), **more,  # type: ignore[arg-type]
    )  # fmt: skip


_SILENT = SqlMutant(
    name="doorbell that never rings", file="ring",
    changes=(("IF ring.queues IS NULL OR v_mode = 'off' THEN", "IF true THEN"),),
    caught_by=frozenset({"wake"}),
)  # fmt: skip

_KEYED = (
    SqlMutant(
        name="slots that are not counted", file="admit", caught_by=frozenset({"lines"}),
        changes=(
            ("(SELECT count(*) FROM pgqueue.slots AS s WHERE s.key = 'k:' || k.key)", "0::bigint"),
        ),
    ),
    SqlMutant(
        name="line from its end", file="admit", caught_by=frozenset({"line_order"}),
        changes=(
            (
                "ORDER BY b.priority DESC, b.seq\n            LIMIT 1",
                "ORDER BY b.priority DESC, b.seq DESC\n            LIMIT 1",
            ),
        ),
    ),
    SqlMutant(
        name="starts that count for no rate", file="take_rates", caught_by=frozenset({"rate"}),
        changes=(("        c.n\n    FROM counted", "        0\n    FROM counted"),),
    ),
    SqlMutant(
        name="callbacks that are forgotten", file="call_back", caught_by=frozenset({"lost"}),
        changes=(("AND j.callbacks IS NOT NULL", "AND j.callbacks IS NOT NULL AND j.id % 3 > 0"),),
    ),
    SqlMutant(
        name="callbacks that fire twice", file="call_back", caught_by=frozenset({"atomicity"}),
        changes=((") AS c\n    ORDER BY", ") AS c, generate_series(1, 2)\n    ORDER BY"),),
    ),
    SqlMutant(
        name="flow that waits for the first of many", file="apply_waits",
        caught_by=frozenset({"flow"}),
        changes=(("WHEN w.remaining > t.ended THEN 'waits'", "WHEN false THEN 'waits'"),),
    ),
    SqlMutant(
        name="unique key that nobody holds", file="unique_holder",
        caught_by=frozenset({"unique", "sanity"}), changes=((
            "IF NOT v_row.while_waiting THEN", "RETURN NULL;\n    IF NOT v_row.while_waiting THEN",
        ),),
    ),
)  # fmt: skip

WORKER_MUTANTS: tuple[WorkerMutant, ...] = (
    _mutant("answer before run", "none", "double_finish lost", slow=False),
    _mutant("batch dealt twice", "none", "attempt_reuse overlap rerun"),
    _mutant(
        "lost reply never reconciled", "none", "stuck",
        env={"PGQUEUE_FAILPOINTS": "finish_reply_lost=drop:0.3"},
    ),
    _mutant("casualties dropped", "child-kill", "stuck", cycles=12, mix={"long": 1}),
    _mutant(
        "outcomes dropped with the connection", "none", "attempt_reuse rerun stuck",
        env={"PGQUEUE_FAILPOINTS": "before_finish=drop:0.3"},
    ),
    _mutant("locked outcomes dropped", "locks", "stuck", cycles=12, jobs=1000),
    _mutant("started told as unstarted", "child-kill", "attempt_reuse", cycles=12, jobs=600),
    _mutant("nobody rescues", "kill9", "stuck resources", cycles=4, mix={"long": 1}),
    _mutant("nobody promotes", "none", "stuck", slow=False),
    _mutant("no heartbeat", "none", "rerun sanity", jobs=300, cycles=20, mix={"long": 1}),
    _mutant("no self-fence", "stalled", "overlap", cycles=4, jobs=24, mix={"lasting": 1}),
    _mutant("never listens", "wake", "wake", jobs=20, cycles=10),
    _mutant("doorbell that never rings", "wake", "wake", jobs=20, cycles=10, sql=_SILENT),
    *(
        _mutant(
            one.name, "limits", " ".join(one.caught_by), sql=one, jobs=40, cycles=4,
            slow=one.name != "line from its end",
        )
        for one in _KEYED
    ),
    _mutant("failure told as success", "none", "double_finish lost", mix={"fails": 1}),
)  # fmt: skip


def play_sql(mutant: SqlMutant | None, server: EmbeddedServer, seed: int = 0) -> Report:
    """Let workers in SQL loose on a database with this mutant, or on a right one."""
    # What is right must be found right on a machine that stands still for a second or two.
    right = {"drain": 60.0, "lease": 3.0}
    directory = Path(tempfile.mkdtemp(prefix="pgqueue-mutant-"))
    database = create_database(server)
    try:
        if mutant is not None:
            with psycopg.connect(server.dsn(database), autocommit=True) as connection:
                mutant.install(connection)
        crew = Crew(
            server.dsn(database), directory, seed=seed,
            hostile=mutant.hostile if mutant else (), strays=bool(mutant and mutant.strays),
            **({"drain": _DRAIN} if mutant else right),
        )  # fmt: skip
        report = crew.run()
        assert report is not None
        return report
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)'.encode())


def play_worker(mutant: WorkerMutant, server: EmbeddedServer, seed: int = 0) -> Report:
    """Run the scenario of a mutant with workers that have it."""
    scenario = scenarios()[mutant.scenario]

    @contextlib.contextmanager
    def prepare(arena: Arena) -> Iterator[None]:
        arena.program = ("-m", "tests.faults.mutated")
        if mutant.sql is not None:
            with arena.connect() as connection:
                mutant.sql.install(connection)
        with scenario.prepare(arena):
            yield

    changed: Scenario = replace(
        scenario, prepare=prepare, drain=_DRAIN_WORKERS,
        options=(*scenario.options, *mutant.options),
        env={**scenario.env, **mutant.env, "PGQUEUE_FAULTS_MUTANT": mutant.name},
        mix=scenario.mix if mutant.mix is None else mutant.mix,
    )  # fmt: skip
    _row, report = run(changed, seed=seed, jobs=mutant.jobs, cycles=mutant.cycles, server=server)
    return report


def caught(mutant: SqlMutant | WorkerMutant, report: Report) -> bool:
    """Whether a verdict that is meant to has found it."""
    return bool(mutant.caught_by.intersection(report.failed))


def hunt(mutant: SqlMutant | WorkerMutant, server: EmbeddedServer) -> tuple[Report, int]:
    """Let campaigns loose on a mutant until one has caught it; give the last, and how many."""
    for seed in range(_SEEDS):
        report = _play(mutant, server, seed)
        if caught(mutant, report):
            break
    return report, seed + 1


def check_all(server: EmbeddedServer) -> None:
    """See that every mutant can still be made.

    Raises:
        ValueError: the text that one changes is not there any more.
        psycopg.Error: the server does not take what it becomes.
    """
    assert {mutant.name for mutant in WORKER_MUTANTS} == {
        *SUPERVISOR,
        *CHILD,
        _SILENT.name,
        *(one.name for one in _KEYED),
    }
    database = create_database(server)
    with psycopg.connect(server.dsn(database)) as connection:
        for mutant in (*SQL_MUTANTS, _SILENT, *_KEYED):
            mutant.install(connection)
            connection.rollback()
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)'.encode())


def _play(mutant: SqlMutant | WorkerMutant, server: EmbeddedServer, seed: int) -> Report:
    if isinstance(mutant, SqlMutant):
        return play_sql(mutant, server, seed)
    return play_worker(mutant, server, seed)


def main(postgres: str | None, only: list[str] | None) -> int:
    """Run the mutants, print a line for each; 1 if one was not caught."""
    missed = 0
    with shared_server(postgres) as server:
        check_all(server)
        for mutant in (*SQL_MUTANTS, *WORKER_MUTANTS):
            if only and not any(part in mutant.name for part in only):
                continue
            report, campaigns = hunt(mutant, server)
            good = caught(mutant, report)
            missed += not good
            found = {name: len(one) for name, one in report.findings.items() if one}
            said = "caught" if good else "MISSED"
            print(f"{said}  {mutant.name}: {found}, {campaigns} campaigns", flush=True)
    return 1 if missed else 0
