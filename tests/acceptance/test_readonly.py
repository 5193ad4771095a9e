"""A primary and its standby: a worker that meets the standby waits, and goes to the primary."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from pgqueue.db import schema
from pgqueue.db.embedded import EmbeddedServer
from tests.acceptance.support import Jobs, stop
from tests.fixtures.standby import Pair, pair
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import eventually


@pytest.fixture
def both(server: EmbeddedServer) -> Iterator[Pair]:
    """A primary with the schema in it, and its standby."""
    with pair(server, synchronous=True) as found:
        with psycopg.connect(found.primary.dsn(), autocommit=True) as connection:
            schema.upgrade(connection)
        yield found


def warnings(running: RunningWorker) -> list[str]:
    return re.findall(r"(?:WARNING|ERROR) pgqueue\.worker (.*)", running.log())


def test_a_standby_is_waited_for_until_it_is_promoted(both: Pair, worker: StartWorker) -> None:
    jobs = Jobs(both.primary.dsn())
    ids = jobs.add_many(100, "noop")
    jobs.close()
    running = worker("--processes", "1", dsn=both.standby.dsn(), ready=False)
    eventually(lambda: "is a standby and not the primary" in running.log())
    # It comes back now and then, and says so once.
    attempts = both.standby.log.read_text().count("connection")
    eventually(lambda: both.standby.execute("SELECT pg_sleep(2)") is not None)
    assert len(warnings(running)) == 1
    assert both.standby.log.read_text().count("connection") - attempts < 50
    both.fail_over()
    jobs = Jobs(both.primary.dsn())
    jobs.wait_all(ids)
    assert "connected again" in running.log()
    stop(running)
    assert jobs.problems() == []
    jobs.close()


def test_the_one_of_two_hosts_that_is_the_primary_is_found(both: Pair, worker: StartWorker) -> None:
    hosts = quote(",".join(str(place.base) for place in both.places), safe="")
    ports = ",".join(str(place.port) for place in both.places)
    # Nothing about target_session_attrs.
    dsn = f"postgresql://postgres@/postgres?host={hosts}&port={ports}"
    jobs = Jobs(both.primary.dsn())
    running = worker("--processes", "2", "--fallback", "600", dsn=dsn, ready=False)
    ids = jobs.add_many(3000, "noop")
    eventually(lambda: jobs.states(ids).get("succeeded", 0) > 100)
    jobs.close()
    both.fail_over()
    jobs = Jobs(both.primary.dsn())
    jobs.wait_all(ids)
    both.follow()
    # And back, which puts the standby in the first place of the two.
    both.fail_over()
    jobs.close()
    jobs = Jobs(both.primary.dsn())
    jobs.wait(jobs.add("noop"))
    assert jobs.query("SELECT job_id FROM pgqueue.finished_jobs WHERE attempt > lost + 1") == []
    assert jobs.problems() == []
    stop(running)
    assert "Traceback" not in running.log()
    # Two connections and the way to each, twice, if they come that close to each other.
    assert len(warnings(running)) <= 8, warnings(running)
    jobs.close()
