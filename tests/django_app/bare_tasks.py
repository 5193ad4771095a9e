"""An atomic task that has nothing to write over."""

from pgqueue import task


@task(atomic=True)
def effect() -> None: ...
