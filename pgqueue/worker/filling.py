"""What a framework puts in the place of the arguments of a batch task's jobs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pgqueue.core.batch import BatchJob
from pgqueue.core.errors import ArgumentGoneError
from pgqueue.core.outcome import Cancel
from pgqueue.worker.execution import Prepared

#: What a framework raises in the place of something that is gone.
_GONE: Final = (ArgumentGoneError, Cancel)
Fill = Callable[[list[Any], dict[str, Any]], tuple[list[Any], dict[str, Any]]]


class Filled:
    """The items of one call with their arguments filled in; those that stand for something that is
    gone are left out, and fail alone, or are cancelled.

    Args:
        fill: of the framework; it looks up all that it is given at once.
        items: of the call.

    Attributes:
        items: what the function is given.
    """

    def __init__(self, fill: Fill, items: list[BatchJob]) -> None:
        self._places: list[int] = []
        self._results: list[Any] = [None] * len(items)
        self.items: list[BatchJob] = []
        try:
            filled, _ = fill([[list(item.args), item.kwargs] for item in items], {})
        except _GONE:
            for place, item in enumerate(items):
                try:
                    self._put(place, item, *fill(list(item.args), item.kwargs))
                except _GONE as error:
                    self._results[place] = error
        else:
            for place, (item, (args, kwargs)) in enumerate(zip(items, filled, strict=True)):
                self._put(place, item, args, kwargs)

    def _put(self, place: int, item: BatchJob, args: list[Any], kwargs: dict[str, Any]) -> None:
        self._places.append(place)
        self.items.append(replace(item, args=tuple(args), kwargs=kwargs))

    def merged(self, returned: object) -> object:
        """Give what the function returned with the outcomes of those that were left out."""
        if len(self.items) == len(self._results):
            return returned
        if returned is not None:
            if not isinstance(returned, list | tuple) or len(returned) != len(self.items):
                return returned
            for place, result in zip(self._places, returned, strict=True):
                self._results[place] = result
        return self._results


def filled_of(fill: Fill, job: Prepared) -> Filled | None:
    """Give the items of a call of a batch task, filled in; None for a job of another task."""
    return Filled(fill, job.args[0]) if job.task.options.batch > 1 else None
