"""Tasks of a facade as small as can be: the path behind `old:` is called, `oldest:` atomically."""

from typing import Any

from pgqueue.compat import paths, pickles, serving


def run(context: Any, *args: Any, **kwargs: Any) -> Any:
    """Run what the task names."""
    words = {"task": context.task, "queue": context.queue}
    args, kwargs = pickles.unpack(list(args), **words), pickles.unpack(kwargs, **words)
    return pickles.pack(paths.resolve(serving.path_in(context.task))(*args, **kwargs), **words)


def install() -> None:
    """Serve them."""
    pickles.register()
    serving.serve("old", run)
    serving.serve("oldest", run, atomic=True)
