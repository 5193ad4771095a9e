"""Tasks that recur, and one that enqueues itself again."""

from pgqueue import Context, every, task


@task(schedule=every("1s", name="tick"), context=True)
def tick(context: Context) -> list[str]:
    return [str(context.schedule), str(context.planned_at)]


@task(schedule=every("1s", name="told", planned_kwarg="when"), queue="told")
def told(when: object) -> str:
    return f"{type(when).__name__} {when}"


@task(context=True)
def again(context: Context, left: int) -> str:
    if context.planned_at is None:
        context.reschedule(0)
    else:
        context.reschedule("1d", from_planned=True)
    return str(context.planned_at)


@task(context=True, atomic=True, max_attempts=2, backoff=0)
async def once_more(context: Context) -> None:
    await context.areschedule("1d")
    if context.attempt == 1:
        raise RuntimeError("what was enqueued goes with the attempt")
