"""What the views of pgqueue.compat.django_async do beside others."""

import concurrent.futures

import pytest

from tests.fixtures.databases import Database

DRAWN = """
    SELECT count(DISTINCT nextval('pgqueue.jobs_id_seq')) FROM generate_series(1, %s)
"""
GIVEN = """
    SELECT count(pgqueue.async_pass('pgqueue.jobs_id_seq', s.last_value + %s)::text)
    FROM generate_series(1, %s) AS g
    CROSS JOIN LATERAL (SELECT last_value + 0 * g.g AS last_value FROM pgqueue.jobs_id_seq) AS s
"""


@pytest.mark.parametrize("ahead", [-1000, 0, 3])
def test_a_given_id_takes_no_number_back_that_others_draw_meanwhile(
    db: Database, ahead: int
) -> None:
    db.execute("SELECT setval('pgqueue.jobs_id_seq', 5000)")
    one, other = db.connect(), db.connect()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(lambda: other.execute(DRAWN, [100_000]).fetchone())
        one.execute(GIVEN, [ahead, 20_000])
        found = drawn.result()
    assert found is not None
    assert found[0] == 100_000
