"""A queue between processes of one program, for `pusher`, `worker` and `monitor`."""

import multiprocessing
from multiprocessing import queues
from typing import Any


class Queue(queues.Queue):  # type: ignore[type-arg]
    """One of `multiprocessing`, which is a class here.

    Args:
        maxsize: 0 for no limit.
    """

    def __init__(self, maxsize: int = 0, **options: Any) -> None:
        super().__init__(maxsize, ctx=multiprocessing.get_context(), **options)
