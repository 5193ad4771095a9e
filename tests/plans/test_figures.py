"""What a job costs is what it cost when the figures were recorded."""

from collections.abc import Iterator

import pytest

from pgqueue.db.embedded import EmbeddedServer
from tests.fixtures.databases import start_server
from tests.plans import figures

#: How far a figure may be off, as a part of it, and at least.
TOLERANCE = 0.25
LEAST = 0.002


@pytest.fixture
def quiet_server(postgres_bin: str | None) -> Iterator[EmbeddedServer]:
    """A server on which nothing happens by itself."""
    with start_server(postgres_bin, **figures.SETTINGS) as started:
        yield started


def test_a_job_costs_what_it_did(quiet_server: EmbeddedServer) -> None:
    expected = figures.recorded(quiet_server.major)
    found = figures.measure(quiet_server)
    off = [
        f"{what} by {batch}: {name} is {now}; it was {then}"
        for what, batches in expected.items()
        for batch, costs in batches.items()
        for name, then in costs.items()
        if abs((now := found[what][batch][name]) - then) > TOLERANCE * then + LEAST
    ]
    # Also when it became cheaper: what is gained should be kept.
    assert not off, "\n".join([*off, "if that is meant: python -m tests.plans.figures"])
    assert found.keys() == expected.keys()


def test_figures_are_kept_for_the_versions_that_are_tested() -> None:
    for major in (15, 18):
        costs = figures.recorded(major)
        assert costs.keys() == {"enqueue", "work"}
        assert all(kept.keys() == {"1", "100", "1000"} for kept in costs.values())


def test_a_batch_costs_one_statement_and_one_commit() -> None:
    for major in (15, 18):
        for batch, costs in figures.recorded(major)["work"].items():
            # The last call finds nothing.
            assert costs["statements"] <= 1 / int(batch) + 0.001
            assert costs["commits"] <= 1 / int(batch) + 0.002
