"""Running schedules: each row that is due makes a task and moves on, by itself.

A row has a waiting job for its next run, which its table sees to; a worker that runs that job calls
`tick`. So nothing looks for due rows all the time, and one that cannot run keeps no other
from it.
"""

import logging
import time
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import DateTimeField, Func, Q

from pgqueue.compat.django_q import literals
from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.enqueueing import async_task
from pgqueue.compat.django_q.humanhash import humanize
from pgqueue.compat.django_q.models import Schedule
from pgqueue.compat.django_q.utils import localtime
from pgqueue.core.outcome import Snooze
from pgqueue.django import conf

log: Final = logging.getLogger("django-q")

_MOST_ERROR: Final = 1000
#: Steps of a schedule that runs a missed time once, before it is given up.
_MOST_STEPS: Final = 10_000_000
#: Seconds between two looks, of one process, for schedules without a waiting job.
_ARM_EVERY: Final = 600.0
_armed: Final = [float("-inf")]
#: How it stands with a schedule that is to run: it is due; it is not yet; or it was changed, and
#: another job waits for it.
_STANDS: Final = """
    SELECT CASE
        WHEN EXISTS (
            SELECT FROM pgqueue.jobs AS j
            WHERE j.id = s.job_id AND j.id <> %s
                AND NOT EXISTS (SELECT FROM pgqueue.finished_jobs AS f WHERE f.job_id = j.id)
        ) THEN 'replaced'
        WHEN s.next_run <= clock_timestamp() THEN 'due'
        ELSE 'early'
    END
    FROM pgqueue.django_q_schedules AS s
    WHERE s.id = %s AND s.repeats <> 0 AND s.next_run IS NOT NULL
"""


def scheduler(broker: Broker | None = None) -> None:
    """Run the schedules of the cluster that are due, each once; the first runs those of none, too.

    A worker does so by itself, the moment one is due.

    Args:
        broker: of the cluster; None for that of the setting.
    """
    name = Conf.CLUSTER_NAME
    mine = Q(cluster=name)
    if name == Conf.PREFIX:
        mine |= Q(cluster__isnull=True)
        rearm(name)
    for pk in list(_due().filter(mine).values_list("pk", flat=True)):
        fire(pk, broker)


def tick(context: Any, schedule_id: int) -> None:
    """Run a schedule, if it is due; what its waiting job does.

    Raises:
        Snooze: this cluster runs no schedules, another may; or it cannot run, and is looked at
            again, since the cause may have gone, as a setting or a lock.
    """
    with connections[conf.database()].cursor() as cursor:
        cursor.execute(_STANDS, [context.job_id, schedule_id])
        found = cursor.fetchone()
        if found == ("early",):
            # Somebody has had the job run before its time.
            cursor.execute("SELECT pgqueue.django_q_arm(%s)", [schedule_id])
    if found != ("due",):
        return
    if not Conf.at(context.queue).SCHEDULER:
        raise Snooze("30s")
    made = fire(schedule_id, get_broker(context.queue))
    if time.monotonic() - _armed[0] > _ARM_EVERY:
        _armed[0] = time.monotonic()
        rearm()
    if made is None and _due().filter(pk=schedule_id, error__isnull=False).exists():
        raise Snooze("60s")


def rearm(home: str | None = None) -> int:
    """Give schedules their waiting job back, where somebody has deleted it; gives how many.

    Args:
        home: the first cluster, whose queue has the schedules without one; None leaves them.
    """
    with connections[conf.database()].cursor() as cursor:
        cursor.execute("SELECT pgqueue.django_q_rearm(%s)", [home])
        return int(cursor.fetchone()[0])


def fire(schedule_id: int, broker: Broker | None = None) -> str | None:
    """Make the task of a schedule, if it is due, and move it on, in one transaction.

    One that cannot run says why in its `error`, and stays due.

    Returns:
        The id of the task; None where there is none.
    """
    alias = conf.database()
    with transaction.atomic(using=alias):
        row = _due().select_for_update().filter(pk=schedule_id).first()
        if row is None:
            return None
        try:
            with transaction.atomic(using=alias):
                return _fire(row, broker)
        except Exception as error:
            log.exception("Could not create task from schedule [%s]", row.name or row.pk)
            found = f"{type(error).__name__}: {error}"[:_MOST_ERROR].replace("\0", "")
            Schedule.objects.filter(pk=schedule_id).update(error=found)
            return None


def _due() -> Any:
    clock = Func(function="clock_timestamp", output_field=DateTimeField())
    return Schedule.objects.exclude(repeats=0).filter(next_run__lte=clock)


def _fire(row: Schedule, broker: Broker | None) -> str:
    args, kwargs = literals.arguments(row.args, row.kwargs)
    options = dict(kwargs.pop("q_options", None) or {})
    if row.intended_date_kwarg:
        kwargs[row.intended_date_kwarg] = row.next_run.isoformat()
    if row.hook:
        options["hook"] = row.hook
    named = options.pop("broker_name", None)
    options["cluster"] = row.cluster or options.get("cluster") or named
    if broker is not None and options["cluster"] in (None, broker.list_key, Conf.CLUSTER_NAME):
        options["broker"] = broker
    options["group"] = options.get("group") or row.name or str(row.pk)
    kwargs["q_options"] = options
    if row.schedule_type != Schedule.ONCE:
        row.next_run = _next(row)
        row.repeats = max(row.repeats, -1)
        if row.repeats > 0:
            row.repeats -= 1
    row.task = async_task(row.func, *args, **kwargs)
    row.runs += 1
    row.error = None
    log.info("created task %s from schedule [%s]", humanize(row.task), row.name or row.pk)
    made = str(row.task)
    if row.schedule_type == Schedule.ONCE:
        if row.repeats < 0:
            row.delete()
            return made
        row.repeats = 0
    row.save()
    return made


def _next(row: Schedule) -> Any:
    """Tell when a schedule runs next: the step after, or the first that is still to come."""
    found = row.next_run
    if row.schedule_type == Schedule.CRON:
        # The clock of the database, by which it is due, may be ahead of the one here.
        return row.cron_after(max(localtime(), localtime(found)))
    for _step in range(_MOST_STEPS):
        before, found = found, row.calculate_next_run(found)
        if found <= before:
            break
        if Conf.CATCH_UP or found > localtime():
            return found
    raise ValueError("the schedule has no next run")
