"""The judge of the demonstration sees what is wrong: it can say something else than 0."""

from pathlib import Path

import pytest

from pgqueue.demo.watch import Figures, Watch, percentile
from pgqueue.demo.work import File, Ledger, Producer, create_tables
from tests.fixtures.databases import Database

FILE = File(path=__file__, size=Path(__file__).stat().st_size)


@pytest.fixture
def judged(db: Database) -> "Judged":
    return Judged(db)


class Judged:
    """Ten transactions of the application, nine of them committed, and every job done by hand."""

    def __init__(self, db: Database) -> None:
        self.connection = db.connect()
        create_tables(self.connection)
        producer = Producer(db.dsn)
        for _ in range(10):
            producer.add(FILE)
        producer.close()
        self.ledger: Ledger = producer.ledger
        self.jobs = list(self.ledger.committed)
        self.execute(
            "INSERT INTO demo.runs (job_id, document_id, attempt, began_at) "
            "SELECT id, (args ->> 0)::bigint, 1, clock_timestamp() FROM pgqueue.jobs"
        )
        self.execute(
            "UPDATE demo.documents AS d SET found_at = clock_timestamp() + '1 s', job_id = j.id "
            "FROM pgqueue.jobs AS j WHERE (j.args ->> 0)::bigint = d.id"
        )
        self.execute(
            "WITH gone AS (DELETE FROM pgqueue.ready_jobs RETURNING job_id) "
            "INSERT INTO pgqueue.finished_jobs (job_id, state, attempt, finished_at, keep_until) "
            "SELECT job_id, 'succeeded', 1, now(), now() + '1 h' FROM gone"
        )

    def execute(self, query: str, *parameters: object) -> None:
        self.connection.execute(query, parameters)

    def figures(self) -> Figures:
        watch = Watch(self.connection)
        assert watch.problems() == []
        return watch.judge(self.ledger, singles=self.jobs[:3], rush=self.jobs[3:], kills=0)


def test_all_is_well(judged: Judged) -> None:
    figures = judged.figures()

    assert (figures.committed, figures.rolled_back, figures.done) == (9, 1, 9)
    assert (figures.lost, figures.phantom, figures.rerun) == (0, 0, 0)
    assert figures.start_ms_p50 is not None
    assert figures.jobs_per_s is not None


def test_a_committed_job_without_a_finding_is_lost(judged: Judged) -> None:
    judged.execute("UPDATE demo.documents SET found_at = NULL WHERE id = 4")

    assert (judged.figures().lost, judged.figures().done) == (1, 8)


def test_a_committed_job_that_is_gone_or_failed_is_lost(judged: Judged) -> None:
    judged.execute("SELECT pgqueue.delete_job(%s)", judged.jobs[0])
    judged.execute(
        "UPDATE pgqueue.finished_jobs SET state = 'failed' WHERE job_id = %s", judged.jobs[1]
    )

    assert judged.figures().lost == 2


def test_a_job_that_nobody_committed_is_a_phantom(judged: Judged) -> None:
    judged.execute("SELECT pgqueue.enqueue('some.task', '[1]')")

    assert judged.figures().phantom == 1


def test_a_run_of_a_rolled_back_job_is_a_phantom(judged: Judged) -> None:
    [(job, document)] = judged.ledger.rolled_back.items()
    judged.execute(
        "INSERT INTO demo.runs (job_id, document_id, attempt, began_at) VALUES (%s, %s, 1, now())",
        job,
        document,
    )

    assert judged.figures().phantom == 1


def test_a_job_whose_document_is_not_there_is_a_phantom(judged: Judged) -> None:
    judged.execute("DELETE FROM demo.documents WHERE id = 2")

    assert (judged.figures().phantom, judged.figures().lost) == (1, 1)


def test_every_run_beyond_the_first_counts(judged: Judged) -> None:
    for attempt in (2, 3):
        judged.execute(
            "INSERT INTO demo.runs (job_id, document_id, attempt, began_at) "
            "VALUES (%s, 1, %s, now())",
            judged.jobs[0],
            attempt,
        )

    assert judged.figures().rerun == 2


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7.0], 0.99) == 7.0
    assert percentile(range(1, 101), 0.5) == 50
    assert percentile(range(1, 101), 0.99) == 99
