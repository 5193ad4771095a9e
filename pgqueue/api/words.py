"""The options of tasks and of jobs, as type checkers know them."""

from collections.abc import Sequence
from typing import Any, TypedDict

from pgqueue.core.backoff import Backoff
from pgqueue.core.offsets import Duration, When
from pgqueue.core.schedule import Recurrence


class TaskWords(TypedDict, total=False):
    """The options of `@task(...)`; see `TaskOptions`."""

    queue: str
    priority: int
    priority_step: int
    max_attempts: int
    backoff: Backoff | Duration
    timeout: Duration | None
    retry_on: type[BaseException] | tuple[type[BaseException], ...]
    give_up_on: type[BaseException] | tuple[type[BaseException], ...]
    expires: Duration | None
    atomic: bool
    unique: tuple[str, ...] | list[str] | bool
    unique_while: str | None
    unique_for: Duration | None
    on_duplicate: str | None
    on_success: object
    on_failure: object
    on_finish: object
    concurrency: tuple[str, ...] | list[str] | bool
    max_running: int | None
    rate: str | None
    fair_by: tuple[str, ...] | list[str] | str | bool
    batch: int
    batch_wait: Duration
    name: str | None
    aliases: tuple[str, ...]
    schedule: Recurrence | Sequence[Recurrence]


class JobWords(TypedDict, total=False):
    """The options of one job; see `EnqueueOptions`."""

    queue: str | None
    priority: int | None
    run_at: When | None
    expires_at: object
    expires: Duration | None
    timeout: Duration | None
    max_attempts: int | None
    meta: dict[str, Any] | None
    unique_key: str | None
    unique_while: str | None
    unique_for: Duration | None
    on_duplicate: str | None
    group: object
    after: object
    run_if: str | None
    results: str | None
    on_success: object
    on_failure: object
    on_finish: object
    concurrency_key: str | None
    max_running: int | None
    rate: str | None
    fair_key: str | None
