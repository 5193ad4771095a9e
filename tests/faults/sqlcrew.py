"""Scenario: workers written in SQL, with planner settings under which a careless claim overruns."""

from tests.faults.arena import Arena
from tests.faults.crew import Crew
from tests.faults.scenarios import Scenario, register

#: What makes nested loops out of joins, and walks out of index scans.
HOSTILE = (
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET enable_material = off",
    "SET enable_memoize = off",
    "SET enable_hashagg = off",
    "SET enable_sort = off",
)


def _crew(arena: Arena) -> None:
    crew = Crew(
        arena.dsn, arena.history_directory, seed=arena.seed, jobs=arena.jobs, members=4,
        drain=arena.scenario.drain, hostile=HOSTILE, judge=False,
    )  # fmt: skip
    crew.run()
    arena.facts["claims"] = crew.claims


register(Scenario(
    name="sql-workers", summary="workers in SQL that misbehave, on a planner that means harm",
    strike=_crew, workers=0, producers=0, jobs=20_000, cycles=0, drain=120,
))  # fmt: skip
