"""Short campaigns, in every run of the suite; the long ones are `python -m tests.faults`."""

from dataclasses import replace
from pathlib import Path

import pytest

from pgqueue.db.embedded import EmbeddedServer
from tests.faults import month
from tests.faults.campaign import Row, run
from tests.faults.scenarios import scenarios

# Each takes a tenth of that on a machine that has nothing else to do.
pytestmark = pytest.mark.timeout(400)

Findings = dict[str, list[str]]


def play(
    name: str,
    jobs: int,
    cycles: int,
    postgres: str | None,
    server: EmbeddedServer | None = None,
    lease: str = "4",
) -> Row:
    """Play a scenario, and hold it to its promises.

    Args:
        lease: seconds for which a worker may stand still by itself, on a machine that does too much
            at once, without others beginning its jobs anew beside it.
    """
    scenario = scenarios()[name]
    scenario = replace(scenario, options=(*scenario.options, "--lease", lease))
    row, report = run(scenario, seed=1, jobs=jobs, cycles=cycles, postgres=postgres, server=server)
    assert row["ok"], {found: what[:5] for found, what in report.findings.items() if what}
    assert row["cycles"] >= cycles
    assert row["committed"] > 0.25 * jobs
    assert row["aborted"] > 0
    return row


# Those that hurt the server have one of their own.


def test_kill9(server: EmbeddedServer, postgres_bin: str | None) -> None:
    row = play("kill9", 1000, 8, postgres_bin, server)
    assert row["rerun"] > 0
    assert row["rescue_max"] is not None


def test_limits(server: EmbeddedServer, postgres_bin: str | None) -> None:
    play("limits", 150, 4, postgres_bin, server)


def test_restart_immediate(postgres_bin: str | None) -> None:
    play("restart-immediate", 400, 3, postgres_bin)


def test_terminate_all(server: EmbeddedServer, postgres_bin: str | None) -> None:
    row = play("terminate-all", 400, 4, postgres_bin, server)
    assert row["facts"]["log"]["reconnects"] > 0


def test_freeze(server: EmbeddedServer, postgres_bin: str | None) -> None:
    row = play("freeze", 500, 9, postgres_bin, server, lease="2")
    assert row["facts"]["log"]["rescued"] > 0


def test_term(server: EmbeddedServer, postgres_bin: str | None) -> None:
    play("term", 300, 2, postgres_bin, server)


def test_producers(server: EmbeddedServer, postgres_bin: str | None) -> None:
    row = play("producers", 300, 4, postgres_bin, server)
    assert row["unknown"] > 0


def test_mixed_versions(server: EmbeddedServer, postgres_bin: str | None) -> None:
    row = play("mixed-versions", 240, 4, postgres_bin, server)
    assert row["facts"]["newer_workers"] > 0
    assert row["facts"]["migrators_killed"] == 2


def test_scenarios_are_described() -> None:
    known = scenarios()
    assert {"kill9", "restart-fast", "freeze", "mixed", "failpoints", "soak"} <= known.keys()
    assert all(scenario.summary for scenario in known.values())


def test_atomic(postgres_bin: str | None) -> None:
    play("atomic", 300, 4, postgres_bin, lease="2")


def test_days_of_schedules(server: EmbeddedServer, tmp_path: Path) -> None:
    """A clock that is moved, real workers, leaders killed: none early, none double, none missed."""
    row = month.play(server, tmp_path, seed=3, days=1, kills=2, outage=False)
    assert row["ok"], row
    assert row["killed"] == 2
    assert row["slots"] > 150
    assert row["jobs"] > 75
