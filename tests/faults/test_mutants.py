"""What is wrong on purpose is caught, and what is right passes. The slow ones are run by
`python -m tests.faults --mutants`."""

import pytest

from pgqueue.db.embedded import EmbeddedServer
from tests.faults import mutants
from tests.faults.mutants import WORKER_MUTANTS, WorkerMutant, caught, hunt, play_sql
from tests.faults.sql_mutants import SQL_MUTANTS, SqlMutant

# Of a mutant that is missed there are several campaigns.
pytestmark = pytest.mark.timeout(400)

FAST = (
    "claim without row lock",
    "claim over the limit",
    "claim that counts no attempt",
    "finish that forgets the insert",
    "crash that is not counted",
    "rescue that refunds the attempt",
    "rescue without lease",
    "rescue that counts nothing",
    "promote before the time",
    "insert that takes future jobs for due ones",
    "expire before the time",
)


def test_the_right_sql_passes(server: EmbeddedServer) -> None:
    report = play_sql(None, server, seed=1)
    assert report.failed == [], report.findings
    # It was no walk in the park.
    assert report.figures["reruns"] > 0
    assert report.figures["refused"] > 0


@pytest.mark.parametrize("mutant", [m for m in SQL_MUTANTS if m.name in FAST], ids=lambda m: m.name)
def test_mutants_of_the_sql(mutant: SqlMutant, server: EmbeddedServer) -> None:
    report, _ = hunt(mutant, server)
    assert caught(mutant, report), report.findings


@pytest.mark.parametrize("mutant", [m for m in WORKER_MUTANTS if not m.slow], ids=lambda m: m.name)
def test_mutants_of_the_worker(mutant: WorkerMutant, server: EmbeddedServer) -> None:
    report, _ = hunt(mutant, server)
    assert caught(mutant, report), report.findings


def test_all_can_be_made(server: EmbeddedServer) -> None:
    """Their texts still fit the SQL, their parts the worker; there are enough of them."""
    assert {*FAST} <= {mutant.name for mutant in SQL_MUTANTS}
    assert len(SQL_MUTANTS) + len(WORKER_MUTANTS) >= 40
    mutants.check_all(server)
