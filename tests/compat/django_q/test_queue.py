"""The queue as the old broker and its model had it."""

import datetime as dt
import pickle
from typing import Any, ClassVar

import pytest

from tests.compat.django_q.conftest import Work
from tests.fixtures.databases import Database

TASKS = "tests.compat.project.market.tasks"
ECHO = f"{TASKS}.echo"


def test_what_waits(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.models import OrmQ
    from pgqueue.compat.django_q.tasks import async_task, queue_size, schedule
    from tests.compat.project.market.tasks import Basket

    task_id = async_task(ECHO, 1, Basket("a"), x=2, group="g", task_name="n", save=True, hook="h.k")
    market.execute("INSERT INTO pgqueue.jobs (task) VALUES ('other')")
    schedule(ECHO, next_run=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    one = OrmQ.objects.get()
    assert (one.key, one.state) == ("default", "ready")
    assert one.lock < dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
    assert (one.task_id(), one.name(), one.group(), one.func()) == (task_id, "n", "g", ECHO)
    assert (one.args(), one.kwargs()) == ((1, Basket("a")), {"x": 2})
    options = one.q_options()
    assert (options.pop("save"), options.pop("hook")) == (True, "h.k")
    assert set(options) == {"started"}
    assert queue_size() == 1
    assert OrmQ.objects.filter(key="default", lock__isnull=False).count() == 1
    assert not OrmQ.objects.filter(key="other").exists()
    work()
    assert queue_size() == OrmQ.objects.count() == 0


def test_key_and_lock_may_be_changed(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.models import OrmQ
    from pgqueue.compat.django_q.tasks import async_task, result
    from tests.compat.project.market.tasks import Basket

    task_id = async_task(ECHO, Basket("a"))
    one = OrmQ.objects.get()
    one.key = "moved"
    one.lock = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    one.save()
    one = OrmQ.objects.get(key="moved")
    assert (one.state, one.lock.year) == ("scheduled", 2100)
    broker = get_broker("moved")
    assert (broker.queue_size(), broker.lock_size()) == (0, 1)
    assert work("moved") == []
    assert OrmQ.objects.filter(pk=one.pk).update(lock=dt.datetime.now(dt.UTC)) == 1
    work("moved")
    assert result(task_id) == [[Basket("a")], {}]
    async_task(ECHO)
    assert OrmQ.objects.all().delete()[0] == 1
    assert work() == []


def test_one_that_runs_is_left_alone(market: Database) -> None:
    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.models import OrmQ
    from pgqueue.compat.django_q.tasks import async_task

    async_task(ECHO)
    [(worker,)] = market.execute("SELECT pgqueue.register_worker('w')")
    market.execute("SELECT pgqueue.dequeue(%s)", [worker])
    one = OrmQ.objects.get()
    assert (one.state, one.lock.year) == ("running", 9999)
    assert (get_broker().queue_size(), get_broker().lock_size()) == (0, 1)
    one.delete()
    assert OrmQ.objects.filter(pk=one.pk).update(key="x") == 0
    assert OrmQ.objects.get().key == "default"


def test_the_broker(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.brokers import Broker, get_broker

    broker: Any = get_broker(list_key="orm_test")
    assert isinstance(broker, Broker)
    assert broker.ping() is True
    assert broker.info() == "ORM default"
    assert (broker.list_key, broker.delete_queue()[0]) == ("orm_test", 0)
    assert broker.dequeue() is None
    number = broker.enqueue("test")
    assert broker.queue_size() == 1
    [(ack, payload)] = broker.dequeue()
    assert (ack, payload) == (number, "test")
    assert (broker.queue_size(), broker.lock_size(), broker.dequeue()) == (0, 1, None)
    # Not acknowledged in time, it is given out again.
    market.execute("SELECT pgqueue.promote(at => now() + interval '2 min')")
    assert broker.dequeue() == [(number, "test")]
    broker.acknowledge(ack)
    broker.acknowledge(ack)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)
    broker.delete(broker.enqueue("test"))
    broker.fail(broker.enqueue("test"))
    assert broker.dequeue() is None
    for _ in range(5):
        broker.enqueue("test")
    with override_settings(Q_CLUSTER={"bulk": 5}):
        taken = broker.dequeue()
    assert (len(taken), broker.lock_size()) == (5, 5)
    broker.enqueue("test")
    assert broker.purge_queue()[0] == 6
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)
    copy = pickle.loads(pickle.dumps(broker))
    assert (copy.list_key, copy.info()) == ("orm_test", "ORM default")


def test_packages(work: Work, market: Database) -> None:
    """What the old code put into a queue itself is run; what was not signed here is not."""
    from django.utils import timezone

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.models import OrmQ, Task
    from pgqueue.compat.django_q.signing import SignedPackage
    from pgqueue.compat.django_q.tasks import result

    task = {
        "id": "a" * 32, "name": "packed", "func": "math.floor", "args": (1.5,), "kwargs": {},
        "started": timezone.now(), "group": "g",
    }  # fmt: skip
    get_broker().enqueue(SignedPackage.dumps(task))
    OrmQ.objects.create(key="default", payload="nonsense", lock=timezone.now())
    good, bad = OrmQ.objects.order_by("pk")
    assert (good.name(), good.func(), good.args()) == ("packed", "math.floor", (1.5,))
    assert bad.task == {"id": "*BadSignature"}
    assert [ran.state for ran in work()] == ["succeeded", "cancelled"]
    assert result("a" * 32) == 1
    assert Task.objects.get().group == "g"


@pytest.mark.parametrize("words", [{"ack_failure": True}, {"max_attempts": 2}, {}])
def test_a_package_is_tried_as_often_as_its_task(
    work: Work, market: Database, words: dict[str, Any]
) -> None:
    from django.test import override_settings
    from django.utils import timezone

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.models import Failure
    from pgqueue.compat.django_q.signing import SignedPackage

    task: dict[str, Any] = {
        "id": "b" * 32, "name": "packed", "func": f"{TASKS}.fail", "args": ("x",), "kwargs": {},
        "started": timezone.now(),
    }  # fmt: skip
    if "ack_failure" in words:
        task |= words
    with override_settings(Q_CLUSTER={} if "ack_failure" in words else words):
        get_broker().enqueue(SignedPackage.dumps(task))
        states = []
        for _ in range(3):
            states += [ran.state for ran in work()]
            market.execute("SELECT pgqueue.retry(job_id) FROM pgqueue.scheduled_jobs")
    most = 1 if "ack_failure" in words else words.get("max_attempts", 3)
    assert states == ["retry"] * (most - 1) + ["failed" if words else "retry"]
    failure = Failure.objects.get()
    assert (failure.attempt_count, "Traceback" in failure.result) == (most, True)


@pytest.mark.parametrize("words", [{"timeout": 1}, {}])
def test_a_package_takes_no_longer_than_its_task(
    work: Work, market: Database, words: dict[str, Any]
) -> None:
    from django.test import override_settings
    from django.utils import timezone

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.models import Failure
    from pgqueue.compat.django_q.signing import SignedPackage

    task: dict[str, Any] = {
        "id": "d" * 32, "name": "packed", "func": f"{TASKS}.nap", "args": (), "kwargs": {},
        "started": timezone.now(), **words,
    }  # fmt: skip
    usual = {} if words else {"timeout": 1}
    with override_settings(Q_CLUSTER={"max_attempts": 1, **usual}):
        get_broker().enqueue(SignedPackage.dumps(task))
        assert [ran.state for ran in work()] == ["failed"]
    assert "Task exceeded maximum timeout value (1 seconds)" in Failure.objects.get().result


def test_a_package_whose_process_was_killed_is_tried_no_more_than_it_may(
    work: Work, market: Database
) -> None:
    """As one that went on after its limit: its process could neither save it nor give it up."""
    from django.utils import timezone

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.models import Failure
    from pgqueue.compat.django_q.signing import SignedPackage

    task: dict[str, Any] = {
        "id": "e" * 32, "name": "packed", "func": f"{TASKS}.order", "args": ("1",), "kwargs": {},
        "started": timezone.now(), "ack_failure": True,
    }  # fmt: skip
    job_id = get_broker().enqueue(SignedPackage.dumps(task))
    market.execute("UPDATE pgqueue.ready_jobs SET attempt = 1")
    market.execute(
        "INSERT INTO pgqueue.job_errors (job_id, attempt, at, kind, message)"
        " VALUES (%s, 1, now(), 'pgqueue.JobTimeout', 'killed')",
        [job_id],
    )
    assert [ran.state for ran in work()] == ["failed"]
    assert Failure.objects.get().result == "killed"
    assert market.execute("SELECT count(*) FROM market_order") == [(0,)]


@pytest.mark.parametrize("words", [{"timeout": 1}, {}])
def test_a_task_that_runs_where_it_is_called_takes_no_longer(
    market: Database, words: dict[str, Any]
) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.exceptions import TimeoutException
    from pgqueue.compat.django_q.tasks import async_task

    usual = {} if words else {"timeout": 1}
    with override_settings(Q_CLUSTER={"sync": True, **usual}):
        with pytest.raises(TimeoutException):
            async_task(f"{TASKS}.nap", **words)
        async_task(f"{TASKS}.nothing", **words)


def test_a_row_that_runs_or_has_ended_is_not_saved_anew(work: Work, market: Database) -> None:
    from django.db import transaction

    from pgqueue.compat.django_q.models import OrmQ
    from pgqueue.compat.django_q.tasks import async_task

    async_task(ECHO)
    ended = OrmQ.objects.get()
    work()
    async_task(ECHO)
    runs = OrmQ.objects.get()
    [(worker,)] = market.execute("SELECT pgqueue.register_worker('w')")
    market.execute("SELECT pgqueue.dequeue(%s)", [worker])
    with transaction.atomic():
        for row in (ended, runs):
            row.lock = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
            row.save()
        assert OrmQ.objects.get().state == "running"
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(2,)]
    # A copy is another task, as ever.
    runs.pk = None
    runs.key = "copied"
    runs.save()
    assert OrmQ.objects.filter(key="copied").count() == 1


def test_a_copy_runs_as_the_first_does(work: Work, market: Database) -> None:
    """As one that `dumpdata` wrote and `loaddata` reads."""
    from django.core import serializers

    from pgqueue.compat.django_q.models import OrmQ, Task
    from pgqueue.compat.django_q.tasks import async_task
    from tests.compat.project.market.tasks import Basket

    async_task(ECHO, Basket("pear"), 2, group="copied", word="a")
    async_task(f"{TASKS}.nap", timeout=1, ack_failure=True)
    written = serializers.serialize("json", OrmQ.objects.order_by("pk"))
    assert [row.q_options().get("timeout") for row in OrmQ.objects.order_by("pk")] == [None, 1]
    OrmQ.objects.all().delete()
    for read in serializers.deserialize("json", written):
        read.save()
    first, second = OrmQ.objects.order_by("pk")
    assert (first.func(), first.group(), first.args()) == (ECHO, "copied", (Basket("pear"), 2))
    assert [ran.state for ran in work()] == ["succeeded", "failed"]
    assert Task.objects.get(group="copied").result == [[Basket("pear"), 2], {"word": "a"}]
    assert "exceeded maximum timeout value (1 seconds)" in Task.objects.get(success=False).result
    # What is neither is not run, whatever it says.
    for payload in ('{"task": "django_q:math.floor"}', "{", '{"task": 1, "args": 2, "kwargs": 3}'):
        OrmQ.objects.create(key="default", payload=payload)
    OrmQ.objects.create(key="default", payload=second.payload.replace(f"{TASKS}.nap", "os.times"))
    assert [ran.state for ran in work()] == ["cancelled"] * 3 + ["failed"]
    assert "may not be run by a job" in Task.objects.get(success=False).result


class Own:
    """A broker of the project's own."""


def test_a_broker_of_ones_own(market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.brokers import Broker, get_broker
    from pgqueue.compat.django_q.signing import SignedPackage
    from pgqueue.compat.django_q.tasks import async_task

    class Mine(Broker):
        sent: ClassVar[list[Any]] = []

        def enqueue(self, task: str) -> Any:
            self.sent.append((self.list_key, SignedPackage.loads(task)))
            return 1

    globals()["Own"] = Mine
    with override_settings(Q_CLUSTER={"broker_class": f"{__name__}.Own"}):
        assert type(get_broker("x")) is Mine
        task_id = async_task(ECHO, 1, cluster="mine")
    [(queue, task)] = Mine.sent
    assert (queue, task["id"], task["args"]) == ("mine", task_id, (1,))
    assert "broker" not in task
    with override_settings(Q_CLUSTER={"broker_class": "django_q.brokers.redis_broker.Redis"}):
        assert get_broker().info().startswith("ORM")


def test_the_base_of_brokers(market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.brokers import Broker

    broker = Broker()
    for call in (
        "dequeue",
        "queue_size",
        "lock_size",
        "purge_queue",
        "delete_queue",
        "ping",
        "info",
    ):
        assert getattr(broker, call)() is None
    for call in ("enqueue", "delete", "acknowledge", "fail"):
        assert getattr(broker, call)("x") is None
    assert broker.get_stat("one") is None
    assert broker.get_stats("x") is None
    broker.set_stat("one", "1", 300)
    broker.set_stat("two", "2", 300)
    assert broker.get_stat("one") == "1"
    assert broker.get_stats("x") == ["1", "2"]
    broker.cache.delete("one")
    assert broker.get_stats("x") == ["2"]
    with override_settings(Q_CLUSTER={"cache": "not_configured"}):
        broker.cache = broker.get_cache()
        broker.set_stat("one", "1", 300)
        assert broker.get_stat("one") is None
        assert broker.get_stats("x") is None


@pytest.mark.parametrize("word", ["redis", "django_redis", "iron_mq", "sqs", "orm", "mongo"])
def test_all_brokers_are_this_one(market: Database, word: str) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.brokers.orm import ORM

    with override_settings(Q_CLUSTER={word: {"x": 1}, "name": "n"}):
        found = get_broker()
        assert type(found) is ORM
        assert found.list_key == "n"
