"""`select_for_update()` of models over views: it locks the jobs behind them."""

from typing import Any

import pytest

from tests.fixtures.databases import Database

ECHO = "tests.compat.project.market.tasks.echo"


def _ormq(number: int) -> Any:
    from pgqueue.compat.django_q.models import OrmQ
    from pgqueue.compat.django_q.tasks import async_task

    async_task(ECHO, number)
    return OrmQ


def _future(number: int) -> Any:
    from pgqueue.compat.django_future import schedule_job
    from pgqueue.compat.django_future.models import ScheduledJob

    schedule_job("0h", ECHO, args=[number])
    return ScheduledJob


def _async(number: int) -> Any:
    from pgqueue.compat.django_async import schedule
    from pgqueue.compat.django_async.models import Job

    schedule(ECHO, args=[number])
    return Job


@pytest.fixture(params=[_ormq, _future, _async])
def model(request: pytest.FixtureRequest, market: Database) -> Any:
    """A model, with three jobs of its own that wait."""
    for number in range(3):
        found = request.param(number)
    return found


def taken(market: Database) -> set[int]:
    """The jobs that a worker would be given now."""
    with market.connect(autocommit=False) as connection:
        connection.execute("SET LOCAL lock_timeout = '20s'")
        [(worker,)] = connection.execute("SELECT pgqueue.register_worker('w')").fetchall()
        queues = connection.execute("SELECT DISTINCT queue FROM pgqueue.ready_jobs").fetchall()
        found: set[int] = set()
        for (queue,) in queues:
            claim = "SELECT d.job_id FROM pgqueue.dequeue(%s, ARRAY[%s], 9) AS d"
            found |= {row[0] for row in connection.execute(claim, [worker, queue])}
        connection.rollback()
    return found


def test_what_is_locked_is_not_started(market: Database, model: Any) -> None:
    from django.db import transaction

    first, second, third = model.objects.order_by("pk").values_list("pk", flat=True)
    with transaction.atomic():
        assert model.objects.select_for_update().get(pk=second).pk == second
        assert taken(market) == {first, third}
    assert taken(market) == {first, second, third}
    for rows in (
        model.objects.order_by("pk").select_for_update()[:2],
        model.objects.order_by("pk").select_for_update()[:2].iterator(),
        model.objects.order_by("pk").select_for_update().values_list("pk")[:2],
        model.objects.filter(pk__in=[first, second]).select_for_update(of=("self",), no_key=True),
    ):
        with transaction.atomic():
            assert len(list(rows)) == 2
            assert taken(market) == {third}
    with transaction.atomic():
        rows = model.objects.select_for_update()
        assert (rows.exists(), rows.count()) == (True, 3)
        assert rows.filter(pk=first).first().pk == first
        assert rows.filter(pk=0).first() is None
        assert taken(market) == {second, third}


def test_what_another_has_is_skipped_or_refused(market: Database, model: Any) -> None:
    from django.db import OperationalError, transaction

    first, second, third = model.objects.order_by("pk").values_list("pk", flat=True)
    rows = model.objects.order_by("pk")
    with market.connect(autocommit=False) as other:
        other.execute("SELECT FROM pgqueue.jobs WHERE id = %s FOR UPDATE", [first])
        with transaction.atomic():
            skipping = rows.select_for_update(skip_locked=True)
            assert [row.pk for row in skipping] == [second, third]
            assert skipping.first().pk == second
            refused = pytest.raises(OperationalError, match="could not obtain lock")
            with refused, transaction.atomic():
                list(rows.select_for_update(nowait=True))
            assert rows.select_for_update(nowait=True).get(pk=third).pk == third
        # One that is gone by the time it is locked is not given.
        other.execute("SELECT pgqueue.delete_job(%s)", [first])
        other.commit()
    with transaction.atomic():
        assert [row.pk for row in rows.select_for_update()] == [second, third]


def test_locks_need_a_transaction(model: Any) -> None:
    from django.db.transaction import TransactionManagementError

    with pytest.raises(TransactionManagementError, match="outside of a transaction"):
        list(model.objects.select_for_update())


def test_a_row_is_read_when_it_is_locked(market: Database, model: Any) -> None:
    """Not before: another transaction may have changed it meanwhile."""
    import threading

    from django.db import connection, transaction

    from tests.helpers import eventually

    pk = model.objects.order_by("pk").values_list("pk", flat=True)[0]
    seen: list[Any] = []

    def wait() -> None:
        with transaction.atomic():
            seen.extend(model.objects.filter(pk=pk).select_for_update())
        connection.close()

    with market.connect(autocommit=False) as other:
        other.execute("SELECT FROM pgqueue.jobs WHERE id = %s FOR UPDATE", [pk])
        waiting = threading.Thread(target=wait)
        waiting.start()
        stuck = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually(lambda: market.execute(stuck) == [(1,)])
        other.execute("SELECT pgqueue.delete_job(%s)", [pk])
        other.commit()
    waiting.join()
    assert seen == []
