"""Taking packages out of the queue by hand, as tests of the old library did; a worker does not."""

import logging
import time
from typing import Any, Final

from pgqueue.compat.django_q import packages
from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.conf import Conf

log: Final = logging.getLogger("django-q")


def pusher(task_queue: Any, event: Any, broker: Broker | None = None) -> None:
    """Put tasks that are ready into a queue of this program, until an event is set.

    They are locked for `Conf.RETRY` seconds then; `monitor` takes them out.

    Args:
        task_queue: with `put`.
        event: looked at after each time.
        broker: whose tasks; None for those of the cluster.
    """
    broker = broker or get_broker()
    while True:
        taken = broker.dequeue()
        for ack_id, payload in taken or ():
            try:
                task = packages.read(payload)
            except Exception as error:
                log.error("package %s is not opened: %s", ack_id, error)
                broker.fail(ack_id)
                continue
            task["cluster"] = broker.list_key
            task["ack_id"] = ack_id
            task_queue.put(task)
        if event.is_set():
            return
        if not taken:
            time.sleep(Conf.POLL)
