"""The parts of a cluster, called one after the other, as the tests of projects did."""

from multiprocessing import Event
from queue import SimpleQueue
from typing import Any

import pytest

from tests.fixtures.databases import Database

pytestmark = pytest.mark.usefixtures("manual")


def test_a_pusher_a_worker_and_a_monitor(manual: Database, monkeypatch: Any) -> None:
    from django_q.brokers import get_broker
    from django_q.cluster import monitor, pusher, worker
    from django_q.models import OrmQ, Task
    from django_q.monitor import save_task
    from django_q.signing import SignedPackage
    from django_q.tasks import async_chain, async_task, fetch, queue_size, result

    broker = get_broker()
    floor = async_task("math.floor", 2.5, group="math", hook="hooks.print_result")
    bad = async_task("math.sqrt", -1)
    done = async_task("math.sqrt", -1, ack_failure=True)
    group = async_chain([("math.copysign", (1, -1)), ("math.floor", (3.5,))])
    broker.enqueue(SignedPackage.dumps("nothing")[:-1])

    stop = Event()
    stop.set()
    tasks: Any = SimpleQueue()
    results: Any = SimpleQueue()
    for _ in range(5):
        pusher(tasks, stop, broker=broker)
    assert tasks.qsize() == 4
    assert (queue_size(), broker.lock_size()) == (0, 4)
    tasks.put("STOP")
    worker(tasks, results)
    assert results.qsize() == 4
    results.put("STOP")
    monitor(results)

    assert result(floor) == 2
    assert fetch(floor).group == "math"
    assert not fetch(bad).success
    assert not fetch(done).success
    # What has failed and was not acknowledged comes again, when its lock is over.
    assert [row.task_id() for row in OrmQ.objects.filter(state="scheduled")] == [bad]
    # The next link of the chain was made.
    [link] = OrmQ.objects.filter(state="ready")
    assert (link.func(), link.group(), link.args()) == ("math.floor", group, (3.5,))
    saved = Task.objects.count()
    again = {**link.task, "result": 3, "success": True, "stopped": fetch(floor).stopped}
    assert save_task(again, broker).result == 3
    assert Task.objects.count() == saved + 1


def test_a_scheduler(manual: Database) -> None:
    from django_q.brokers import get_broker
    from django_q.cluster import scheduler
    from django_q.models import OrmQ, Schedule
    from django_q.tasks import schedule

    made = schedule("math.floor", 2.5, schedule_type=Schedule.HOURLY, repeats=2)
    OrmQ.objects.all().delete()
    scheduler(broker=get_broker())
    scheduler(broker=get_broker())
    made.refresh_from_db()
    assert made.repeats == 1
    assert [(row.task_id(), row.func()) for row in OrmQ.objects.all()] == [
        (made.task, "math.floor")
    ]
