"""Enqueueing tasks, with every option, and what a worker makes of them."""

import datetime as dt
import math
from functools import partial
from typing import Any

import pytest

from tests.compat.django_q.conftest import Work
from tests.fixtures.databases import Database

TASKS = "tests.compat.project.market.tasks"
ECHO = f"{TASKS}.echo"


def meta_of(db: Database) -> Any:
    return db.execute("SELECT meta -> 'django_q' FROM pgqueue.jobs ORDER BY id DESC LIMIT 1")[0][0]


def test_a_task_by_its_path(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.models import Success, Task
    from pgqueue.compat.django_q.tasks import async_task, fetch, result

    task_id = async_task("math.copysign", 2, -2)
    assert len(task_id) == 32
    assert int(task_id, 16)
    assert (fetch(task_id), result(task_id)) == (None, None)
    rows = market.execute("SELECT task, args, queue FROM pgqueue.jobs")
    assert rows == [("django_q:math.copysign", [2, -2], "default")]
    [ran] = work()
    assert (ran.state, ran.result) == ("succeeded", -2.0)
    task = fetch(task_id)
    assert isinstance(task, Task)
    assert result(task_id) == -2.0
    assert (task.func, task.args, task.kwargs) == ("math.copysign", (2, -2), {})
    assert (task.success, task.attempt_count, task.cluster) == (True, 1, "default")
    assert (task.group, task.hook) == (None, None)
    assert task.started < task.stopped
    assert task.time_taken() == (task.stopped - task.started).total_seconds()
    assert str(task) == task.name
    assert len(task.name.split("-")) == 4
    assert fetch(task.name) == task
    assert result(task.name) == -2.0
    assert Success.objects.get().pk == task.pk


def test_a_task_by_its_function(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import async_task, fetch
    from tests.compat.project.market.tasks import Basket, echo

    plain = async_task(echo, 1, word="a")
    builtin = async_task(math.floor, 1.5)
    method = async_task(Basket.total, 1, 2)
    text = async_task(f"{TASKS}.Basket.total", 1, 2)
    bound = async_task(Basket("a").__eq__, Basket("a"))
    work()
    found = [fetch(one) for one in (plain, builtin, method, text, bound)]
    assert [task.result for task in found if task] == [[[1], {"word": "a"}], 1, 3, 3, True]
    assert [task.func for task in found[:4] if task] == [
        ECHO, "math.floor", f"{TASKS}.Basket.total", f"{TASKS}.Basket.total"
    ]  # fmt: skip


def test_what_json_has_no_form_for(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import async_task, fetch
    from tests.compat.project.market.models import Order
    from tests.compat.project.market.tasks import Basket

    saved = Order.objects.create(number="1")
    unsaved = Order(number="2")
    when = dt.datetime(2026, 1, 2)
    task_id = async_task(ECHO, saved, unsaved, Basket("x"), when=when, both={"a": (1, {2})})
    basket = async_task(f"{TASKS}.fill", "apple")
    [first, _] = work()
    assert first.error is None
    task = fetch(task_id)
    assert task is not None
    assert task.args[0] == saved
    assert task.args[1].number == "2"
    assert task.args[2] == Basket("x")
    assert task.kwargs == {"when": when, "both": {"a": (1, {2})}}
    assert task.result[0][2] == Basket("x")
    made = fetch(basket)
    assert made is not None
    assert made.result == Basket("apple")
    saved.delete()
    gone = fetch(task_id)
    assert gone is not None
    assert str(gone.args[0]) == "market.order 1"


def test_options_by_keyword_and_by_q_options(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.tasks import async_task, fetch

    options = {"group": "g1", "task_name": "mine"}
    task_id = async_task(ECHO, group="g2", save=True, x=1, q_options=options)
    assert options == {"group": "g1", "task_name": "mine"}
    work()
    task = fetch("mine")
    assert task is not None
    assert (task.id, task.group) == (task_id, "g1")
    assert task.kwargs == {"group": "g2", "x": 1}
    named = async_task(ECHO, task_name="other", q_options={"task_name": "mine"}, timeout=-1)
    assert market.execute("SELECT timeout FROM pgqueue.jobs WHERE meta -> 'django_q' ->> 'id' = %s",
                          [named]) == [(None,)]  # fmt: skip
    async_task(ECHO, timeout=7)
    assert str(market.execute("SELECT max(timeout) FROM pgqueue.jobs")[0][0]) == "0:00:07"
    work()
    other = fetch("other")
    assert other is not None
    assert other.id == named


def test_the_words_of_a_function_may_be_any(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import async_task, result

    words = {"context": 1, "self": 2, "args": 3, "kwargs": 4, "func": 5, "name": 6, "task": 7}
    words.pop("func")
    task_id = async_task(ECHO, **words)
    work()
    assert result(task_id) == [[], words]


def test_a_task_is_part_of_the_transaction(work: Work, market: Database) -> None:
    from django.db import transaction

    from pgqueue.compat.django_q.tasks import async_task, queue_size

    with transaction.atomic():
        async_task(ECHO)
        assert queue_size() == 1
        transaction.set_rollback(True)
    assert queue_size() == 0


def test_a_function_must_be_allowed(market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.tasks import async_task, schedule
    from pgqueue.compat.paths import PathNotAllowedError

    for func in ("os.system", "list", "django.core.management.call_command", f"{TASKS}.Any"):
        with pytest.raises(PathNotAllowedError, match="PGQUEUE"):
            async_task(func, "true")
    with pytest.raises(PathNotAllowedError, match=r"'os\.system'"):
        schedule("os.system", "true")
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
    with override_settings(PGQUEUE={"ALLOW": ["list"]}):
        async_task("list", (1, 2))


def test_a_function_that_is_not_there_is_a_failure(work: Work) -> None:
    from pgqueue.compat.django_q.models import Failure
    from pgqueue.compat.django_q.tasks import async_task, fetch, result

    task_id = async_task(f"{TASKS}.does_not_exist", 1, ack_failure=True)
    async_task("nowhere.at.all", ack_failure=True)
    work()
    task = fetch(task_id)
    assert task is not None
    assert (task.success, task.attempt_count) == (False, 1)
    assert f"Function {TASKS}.does_not_exist is not defined" in result(task_id)
    assert Failure.objects.count() == 2


def test_a_failure_is_delivered_again(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Failure, Task
    from pgqueue.compat.django_q.tasks import async_task, fetch, queue_size

    task_id = async_task(f"{TASKS}.fail", "no more")
    [ran] = work()
    assert ran.state == "retry"
    task = fetch(task_id)
    assert task is not None
    assert (task.success, task.attempt_count) == (False, 1)
    assert task.result.startswith("no more : Traceback")
    assert "MarketError" in task.result
    assert Failure.objects.get().pk == task_id
    seconds = "SELECT extract(epoch FROM run_at - clock_timestamp()) FROM pgqueue.scheduled_jobs"
    assert 30 < market.execute(seconds)[0][0] <= 60
    assert queue_size() == 0
    assert market.execute("SELECT max_attempts FROM pgqueue.jobs") == [(32767,)]
    market.execute("SELECT pgqueue.retry(id) FROM pgqueue.jobs")
    with override_settings(Q_CLUSTER={"retry": 500}):
        work()
    assert Task.objects.get().attempt_count == 2
    assert 400 < market.execute(seconds)[0][0] <= 500
    kinds = market.execute("SELECT kind, message FROM pgqueue.job_errors")
    assert [kind.rpartition(".")[2] for kind, _ in kinds] == ["MarketError"] * 2


@pytest.mark.parametrize(
    ("cluster", "options", "attempts"),
    [
        ({"max_attempts": 2}, {}, 2),
        ({"ack_failures": True}, {}, 1),
        ({"ack_failures": True}, {"ack_failure": False}, 32767),
        ({}, {"ack_failure": True}, 1),
        ({"redis": {"host": "x"}}, {}, 1),
        ({"redis": {"host": "x"}, "orm": "default"}, {}, 32767),
        ({"max_attempts": 0}, {}, 32767),
    ],
)
def test_how_often_a_failure_is_delivered(
    market: Database, cluster: dict[str, Any], options: dict[str, Any], attempts: int
) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.tasks import async_task

    with override_settings(Q_CLUSTER=cluster):
        async_task(f"{TASKS}.fail", **options)
    assert market.execute("SELECT max_attempts FROM pgqueue.jobs") == [(attempts,)]


def test_a_success_stays_one(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q import saving
    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.packages import read
    from pgqueue.compat.django_q.tasks import async_task

    async_task("math.floor", 1.5)
    [(payload,)] = market.execute("SELECT payload FROM pgqueue.django_q_queue")
    work()
    task = read(payload)
    again = {**task, "result": "worse", "success": False, "stopped": task["started"]}
    saving.save_task(again, get_broker())
    found = Task.objects.get()
    assert (found.result, found.success, found.attempt_count) == (1, True, 1)


def test_what_is_saved(work: Work) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_task, fetch, result

    unsaved = async_task("math.floor", 1, save=False)
    failed = async_task(f"{TASKS}.fail", save=False, ack_failure=True)
    work()
    assert (fetch(unsaved), result(unsaved, wait=-1)) == (None, None)
    assert fetch(failed) is not None
    with override_settings(Q_CLUSTER={"save_limit": -1}):
        async_task("math.floor", 2)
        kept = async_task("math.floor", 3, save=True)
        work()
    assert {task.pk for task in Task.objects.all()} == {failed, kept}


@pytest.mark.parametrize(
    ("per", "left"),
    [
        (None, ["b2", "b1"]),
        ("group", ["b2", "b1", "a2", "a1"]),
        ("name", ["b2", "b1", "a2", "a1"]),
        ("func", ["b2", "b1", "a2", "a1"]),
    ],
)
def test_the_newest_successes_are_kept(work: Work, per: str | None, left: list[str]) -> None:
    from django.db.models.signals import post_delete
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Success, Task
    from pgqueue.compat.django_q.tasks import async_task

    with override_settings(Q_CLUSTER={"save_limit": 2, "save_limit_per": per}):
        async_task(f"{TASKS}.fail", ack_failure=True)
        for kind, func in (("a", ECHO), ("b", f"{TASKS}.nothing")):
            for number in range(3):
                async_task(func, group=kind, task_name=kind, q_options={"save": True}, n=number)
        work()
    found = [f"{task.group}{task.kwargs['n']}" for task in Success.objects.all()]
    assert found == left
    assert Task.objects.filter(success=False).count() == 1
    gone: list[Any] = []
    receiver = partial(_note_gone, gone)
    post_delete.connect(receiver, sender=Success)
    try:
        with override_settings(Q_CLUSTER={"save_limit": 1}):
            async_task("math.floor", 1)
            work()
    finally:
        post_delete.disconnect(receiver, sender=Success)
    assert Success.objects.count() == 1
    assert len(gone) == len(left)


def _note_gone(gone: list[Any], sender: Any, instance: Any, **_: Any) -> None:
    gone.append(instance)


def test_save_limit_0_keeps_all(work: Work) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Success
    from pgqueue.compat.django_q.tasks import async_task

    with override_settings(Q_CLUSTER={"save_limit": 0}):
        for _ in range(3):
            async_task("math.floor", 1)
        work()
    assert Success.objects.count() == 3


def test_signals(work: Work) -> None:
    from pgqueue.compat.django_q import runner, signals
    from pgqueue.compat.django_q.tasks import async_task, fetch
    from tests.compat.project.market.tasks import echo, fail

    seen: list[Any] = []

    def enqueued(sender: Any, task: Any, **_: Any) -> None:
        task["trace"] = ("t", 1)
        task["args"] = (*task["args"], "more")
        seen.append(("pre_enqueue", sender, sorted(task)))

    def before(sender: Any, func: Any, task: Any, **_: Any) -> None:
        seen.append(("pre_execute", sender, func, task["trace"], task["ack_id"], "result" in task))
        task["kwargs"]["late"] = True

    def after(sender: Any, func: Any, task: Any, **_: Any) -> None:
        seen.append(("post_execute_in_worker", sender, func, task["success"]))

    def done(sender: Any, task: Any, **_: Any) -> None:
        known = fetch(task["id"]) is not None
        seen.append(("post_execute", sender, task["success"], task["cluster"], known))

    def spawned(sender: Any, proc_name: Any, **_: Any) -> None:
        seen.append(("post_spawn", sender, proc_name))

    runner._spawned.clear()
    pairs = [
        (signals.pre_enqueue, enqueued), (signals.pre_execute, before),
        (signals.post_execute_in_worker, after), (signals.post_execute, done),
        (signals.post_spawn, spawned),
    ]  # fmt: skip
    for signal, receiver in pairs:
        signal.connect(receiver)
    try:
        task_id = async_task(echo, 1, group="g")
        ran = work()
        failed = async_task(fail, "x", ack_failure=True)
        ran += work()
    finally:
        for signal, receiver in pairs:
            signal.disconnect(receiver)
    task = fetch(task_id)
    assert task is not None
    assert task.result == [[1, "more"], {"late": True}]
    names = ["args", "func", "group", "id", "kwargs", "name", "started", "trace"]
    assert seen[0] == ("pre_enqueue", "django_q", names)
    assert seen[1][:2] == ("post_spawn", "django_q")
    assert seen[2:5] == [
        ("pre_execute", "django_q", echo, ("t", 1), ran[0].job_id, False),
        ("post_execute_in_worker", "django_q", echo, True),
        ("post_execute", "django_q", True, "default", True),
    ]
    assert [line[0] for line in seen[5:]] == [
        "pre_enqueue", "pre_execute", "post_execute_in_worker", "post_execute"
    ]  # fmt: skip
    assert seen[-1] == ("post_execute", "django_q", False, "default", True)
    assert fetch(failed) is not None


called: list[Any] = []


def hook(task: Any) -> None:
    called.append((task.id, task.success, task.result))


def broken_hook(task: Any) -> None:
    called.append(task.id)
    raise ZeroDivisionError


def test_hooks(work: Work, market: Database, caplog: pytest.LogCaptureFixture) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_task, fetch
    from tests.compat.project.market.tasks import Basket

    here = f"{__name__}.hook"
    with override_settings(PGQUEUE={"ALLOW": ["math.*", f"{__name__}.*"]}):
        called.clear()
        one = async_task("math.floor", 1.5, hook=here)
        two = async_task("math.floor", 2.5, hook=hook)
        work()
        assert called == [(one, True, 1), (two, True, 2)]
        assert [task.hook for task in Task.objects.all()] == [here, here]
        called.clear()
        three = async_task(f"{TASKS}.fail", hook=here)
        work()
        market.execute("SELECT pgqueue.retry(job_id) FROM pgqueue.scheduled_jobs")
        work()
        assert [(pk, success) for pk, success, _ in called] == [(three, False)] * 2
        called.clear()
        again = fetch(one)
        assert again is not None
        again.save()
        assert called == [(one, True, 1)]
        called.clear()
        broken = async_task("math.floor", 3.5, hook=broken_hook)
        odd = async_task("math.floor", 4, hook=Basket("a").__eq__)
        ran = work()
        assert [one.state for one in ran] == ["succeeded"] * 2
        assert called == [broken]
        assert "return hook" in caplog.text
        assert fetch(odd) is not None
    for path in ("fail.me", "nothing", "os.system", f"{TASKS}.absent"):
        caplog.clear()
        task_id = async_task("math.floor", 5, hook=path)
        work()
        assert fetch(task_id) is not None
        assert f"malformed return hook '{path}'" in caplog.text


def test_a_result_that_cannot_be_kept_is_a_failure(work: Work) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.tasks import async_task, fetch

    with override_settings(PGQUEUE={"PICKLE": False}):
        task_id = async_task(f"{TASKS}.fill", "a")
        [ran] = [one for one in work() if one.task.endswith("fill")]
        assert ran.state == "failed"
        task = fetch(task_id)
        assert task is not None
        assert not task.success
        assert "PICKLE" in task.result


def test_arguments_that_are_not_signed_here(work: Work) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.tasks import async_task, fetch
    from tests.compat.project.market.tasks import Basket

    task_id = async_task(ECHO, Basket("a"), group="g")
    moved = async_task(ECHO, Basket("b"))
    with override_settings(SECRET_KEY="another"):
        [*ran] = work()
    assert [one.state for one in ran][:2] == ["failed", "failed"]
    task = fetch(task_id)
    assert task is not None
    assert (task.success, task.group, task.args) == (False, "g", ())
    assert "signed" in task.result
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["only for tests"]):
        third = async_task(ECHO, Basket("c"))
        assert fetch(moved) is not None
    with override_settings(SECRET_KEY="newer", SECRET_KEY_FALLBACKS=["new"]):
        work()
        found = fetch(third)
        assert found is not None
        assert found.success


def test_a_coroutine_is_awaited(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import async_task, result

    task_id = async_task(f"{TASKS}.later", 5)
    work()
    assert result(task_id) == 5


def test_a_job_that_another_language_has_enqueued(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q.models import Task

    market.execute("INSERT INTO pgqueue.jobs (task, args) VALUES ('django_q:math.floor', '[1.5]')")
    work()
    task = Task.objects.get()
    assert (task.func, task.args, task.result, task.success) == ("math.floor", (1.5,), 1, True)
    assert len(task.id) == 32
    assert task.name


def test_clusters(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.tasks import async_task, fetch

    cluster = {"name": "main", "ALT_CLUSTERS": {"long": {"timeout": 99, "max_attempts": 3}}}
    with override_settings(Q_CLUSTER=cluster):
        usual = async_task("math.floor", 1)
        long = async_task("math.floor", 1, cluster="long")
        third = async_task("math.floor", 1, broker=get_broker("third"))
        rows = market.execute(
            "SELECT queue, extract(epoch FROM timeout)::int, max_attempts FROM pgqueue.jobs"
            " ORDER BY id"
        )
        assert rows == [("main", None, 32767), ("long", 99, 3), ("third", None, 32767)]
        for queue in ("main", "long", "third"):
            assert len(work(queue)) == 1
    found = [fetch(one) for one in (usual, long, third)]
    assert [task.cluster for task in found if task] == ["main", "long", "third"]


def test_sync_runs_here(market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_task, fetch, result
    from tests.compat.project.market.tasks import MarketError

    task_id = async_task("math.copysign", 1, -1, sync=True, group="g")
    assert result(task_id) == -1.0
    with pytest.raises(MarketError):
        async_task(f"{TASKS}.fail", sync=True)
    with override_settings(Q_CLUSTER={"sync": True}):
        other = async_task("math.floor", 1.5)
        assert result(other) == 1
    missing = async_task(f"{TASKS}.does_not_exist", sync=True)
    task = fetch(missing)
    assert task is not None
    assert not task.success
    assert Task.objects.count() == 3
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]


def test_a_task_that_was_killed_is_a_failure(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.tasks import async_task, fetch

    with override_settings(PGQUEUE={"ALLOW": ["math.*", f"{__name__}.*"]}):
        called.clear()
        options = {"hook": hook, "ack_failure": True, "group": "g"}
        task_id = async_task("math.floor", 1.5, **options)
        [(worker,)] = market.execute("SELECT pgqueue.register_worker('killed')")
        [(job, *_)] = market.execute("SELECT * FROM pgqueue.dequeue(%s)", [worker])
        market.execute(
            "SELECT pgqueue.finish(%s, ARRAY[%s]::bigint[], ARRAY[1], ARRAY['failed'],"
            " errors => ARRAY['its process died'])",
            [worker, job],
        )
        work()
        task = fetch(task_id)
        assert task is not None
        assert (task.success, task.group, task.func) == (False, "g", "math.floor")
        assert "its process died" in task.result
        assert [pk for pk, *_ in called] == [task_id]


def test_an_attempt_that_was_killed_is_noticed(work: Work, market: Database) -> None:
    """When the next one begins, if not before."""
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_task

    async_task(f"{TASKS}.fail")
    [(worker,)] = market.execute("SELECT pgqueue.register_worker('killed')")
    [(job, *_)] = market.execute("SELECT * FROM pgqueue.dequeue(%s)", [worker])
    market.execute(
        "SELECT pgqueue.finish(%s, ARRAY[%s]::bigint[], ARRAY[1], ARRAY['retry'],"
        " errors => ARRAY['it took too long'], delays => ARRAY[interval '0'])",
        [worker, job],
    )
    market.execute("SELECT pgqueue.promote()")
    seen: list[str] = []

    def before(task: Any, **_: Any) -> None:
        seen.extend(row.result for row in Task.objects.filter(id=task["id"]))

    from pgqueue.compat.django_q.signals import pre_execute

    pre_execute.connect(before)
    try:
        work()
    finally:
        pre_execute.disconnect(before)
    [first] = seen
    assert "it took too long" in first
    task = Task.objects.get()
    assert (task.attempt_count, "out of stock" in task.result) == (2, True)


def test_what_fails_around_a_task_does_not_run_it_again(
    work: Work, market: Database, caplog: pytest.LogCaptureFixture
) -> None:
    from pgqueue.compat.django_q import signals
    from pgqueue.compat.django_q.models import Task
    from pgqueue.compat.django_q.tasks import async_task

    def broken(**_: Any) -> None:
        raise ZeroDivisionError

    after = (signals.post_execute_in_worker, signals.post_execute)
    for signal in after:
        signal.connect(broken)
    try:
        async_task(f"{TASKS}.order", "1", chain=["os.system"], group="g")
        assert [ran.state for ran in work()] == ["succeeded"]
    finally:
        for signal in after:
            signal.disconnect(broken)
    assert Task.objects.get().success
    assert "Could not go on with the chain" in caplog.text
    # Before it, it does: it has not begun.
    signals.pre_execute.connect(broken)
    try:
        async_task(f"{TASKS}.order", "2", ack_failure=True)
        assert work()[0].state == "failed"
    finally:
        signals.pre_execute.disconnect(broken)
    assert Task.objects.filter(success=False).count() == 1
    assert market.execute("SELECT number FROM market_order") == [("1",)]


def test_a_function_that_a_test_has_patched(market: Database) -> None:
    from unittest import mock

    from pgqueue.compat.django_q.tasks import async_iter, async_task, fetch

    with mock.patch(f"{TASKS}.echo", return_value=7) as echo:
        good = fetch(async_task(f"{TASKS}.echo", 1, sync=True))
    echo.assert_called_once_with(1)
    assert good is not None
    assert (good.success, good.result) == (True, 7)
    # What it returns by itself is not to be stored, and no reason to fail a test.
    with mock.patch(f"{TASKS}.echo") as echo:
        bad = fetch(async_task(f"{TASKS}.echo", 1, sync=True))
        many = fetch(async_iter(f"{TASKS}.echo", [1, 2], sync=True))
    assert echo.call_count == 3
    assert bad is not None
    assert many is not None
    assert (bad.success, many.success) == (False, False)
    assert "MagicMock" in bad.result


def test_what_can_never_run_is_refused_at_once(work: Work, market: Database) -> None:
    from django.core.exceptions import ValidationError

    from pgqueue import ConfigurationError
    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.tasks import async_chain, async_iter, async_task, schedule

    for nothing in (None, "", " ", 7):
        with pytest.raises(ConfigurationError, match="must be a function, or its dotted path"):
            async_task(nothing)
    with pytest.raises(ConfigurationError, match="got None"):
        async_iter(None, [1])
    with pytest.raises(ConfigurationError, match="at least one function"):
        async_chain([])
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds; got 'abc'"):
        async_task(ECHO, timeout="abc")
    with pytest.raises(ConfigurationError, match="lambda"):
        async_task(lambda: 1)
    with pytest.raises(ValidationError) as raised:
        schedule(ECHO, schedule_type=Schedule.CRON)
    assert raised.value.message_dict == {
        "cron": ["A schedule of the type Cron needs an expression."]
    }
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
    # What comes by SQL is kept as a failure that says so.
    market.execute("INSERT INTO pgqueue.jobs (task) VALUES ('django_q:')")
    work()
    [(func, success, result)] = market.execute(
        "SELECT func, success, result::text FROM pgqueue.django_q_tasks"
    )
    assert (func, success, "is not defined" in result) == ("", False, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"q_options": "x"}, "q_options must be a dictionary; got 'x'"),
        ({"hook": 5}, "hook must be a function or its dotted path; got 5"),
        ({"q_options": {"hook": 5}}, "hook must be"),
        ({"cached": "yes"}, "cached must be True, False or seconds; got 'yes'"),
        ({"chain": "math.floor"}, "chain must be a list of functions; got 'math.floor'"),
        ({"broker": "slow"}, "broker must be one, .*got 'slow'; the name of a queue is"),
    ],
)
def test_options_that_would_fail_after_the_task(
    market: Database, words: dict[str, Any], said: str
) -> None:
    from pgqueue import ConfigurationError
    from pgqueue.compat.django_q.tasks import async_task

    with pytest.raises(ConfigurationError, match=said):
        async_task(ECHO, **words)
    assert market.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
