"""An atomic task that Django's transactions cannot hold."""

import tests.django_app.tasks  # noqa: F401
from pgqueue import Context, task


@task(atomic=True, context=True)
async def aeffect(context: Context) -> None:
    del context
