"""What a batch task is given: the jobs of one call, one item each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """Stand for one job of the call of a batch task.

    Attributes:
        job_id: the job.
        args: its positional arguments, decoded.
        kwargs: its keyword arguments, decoded.
        attempt: number of this execution, 1 for the first.
        meta: the producer's own JSON object; empty without one.
    """

    job_id: int
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    meta: dict[str, object] = field(default_factory=dict)
    is_cancelled: Callable[[], bool] = field(default=lambda: False, repr=False)

    @property
    def cancelled(self) -> bool:
        """Tell whether somebody asked for this job to stop; give `Cancel()` as its result then."""
        return self.is_cancelled()


def any_call(*_args: object, **_kwargs: object) -> None:
    """Stand for the signature of a batch task: its jobs may have any arguments."""
