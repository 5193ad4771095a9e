"""Real workers that run the tasks of a real project."""

from tests.compat.conftest import manage, worker
from tests.fixtures.databases import Database

PROGRAM = """
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Schedule
from django_q.signing import SignedPackage
from django_q.tasks import async_chain, async_iter, async_task, schedule
T = "tests.compat.project.market.tasks."
async_task("math.floor", 1.5, group="plain", hook=T + "nothing")
async_task(T + "order", "7")
async_task(T + "drowse", timeout=1, ack_failure=True, group="late")
async_iter("math.floor", [1.5, 2.5], q_options={"task_name": "many"})
async_chain([("math.floor", (1,)), ("math.floor", (2,))], group="chain")
get_broker().enqueue(SignedPackage.dumps({
    "id": "c" * 32, "name": "signed", "func": T + "drowse", "args": (), "kwargs": {}, "timeout": 1,
    "started": timezone.now(), "ack_failure": True, "group": "signed",
}))
schedule("math.floor", 9.5, name="once", schedule_type=Schedule.HOURLY)
"""


def test_a_worker(market_db: Database) -> None:
    """Also one whose task is too long."""
    code = "from pgqueue.compat.django_q import install_as; install_as('django_q')\n" + PROGRAM
    made = manage(market_db, "shell", "-v", "0", "-c", code)
    assert made.returncode == 0, made.stderr
    ran = worker(market_db)
    assert ran.returncode == 0, ran.stderr
    rows = market_db.execute(
        'SELECT coalesce("group", name), success, attempt_count, result::text'
        " FROM pgqueue.django_q_tasks"
    )
    found: dict[str, list[tuple[object, ...]]] = {}
    for name, *rest in rows:
        found.setdefault(name, []).append(tuple(rest))
    assert found.pop("plain") == [(True, 1, "1")]
    assert found.pop("many") == [(True, 1, "[1, 2]")]
    assert sorted(found.pop("chain")) == [(True, 1, "1"), (True, 1, "2")]
    assert found.pop("once") == [(True, 1, "9")]
    for name in ("late", "signed"):
        [(success, count, result)] = found.pop(name)
        assert (success, count) == (False, 1)
        assert "Task exceeded maximum timeout value (1 seconds)" in str(result)
    assert list(found.values()) == [[(True, 1, "1")]]
    assert market_db.execute("SELECT number FROM market_order") == [("7",)]
    [(runs, repeats)] = market_db.execute("SELECT runs, repeats FROM pgqueue.django_q_schedules")
    assert (runs, repeats) == (1, -1)
