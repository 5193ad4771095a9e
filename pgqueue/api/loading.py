"""Import what `--app` names: the modules with the tasks, and the app they belong to."""

from collections.abc import Iterable
from types import ModuleType

from pgqueue.api.app import PgQueue, registry
from pgqueue.api.atomic import check_atomic
from pgqueue.api.default import default_app
from pgqueue.api.upkeep import remove_old_jobs
from pgqueue.core.errors import ConfigurationError, shown
from pgqueue.core.importing import import_module, import_object


def is_from_inside(error: BaseException) -> bool:
    """Tell whether an error of `load_apps` is of the code that was imported.

    Then only its traceback says where; else its sentence says it all.
    """
    if not isinstance(error, ConfigurationError):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_name != "<module>":
        trace = trace.tb_next
    return trace is not None


def load_apps(targets: Iterable[str]) -> PgQueue:
    """Import modules, so that their tasks are registered, and find the app to work for.

    Args:
        targets: dotted paths of modules, `"shop.tasks"`; or of apps in them, `"shop.tasks:app"`.

    Returns:
        The app that was named; else the one that stands at the top of the modules that were; else
        the default app.

    Raises:
        ConfigurationError: a path names nothing, or something else; or there are two apps. An
            error inside an imported module comes through as it is.
    """
    named: list[PgQueue] = []
    seen: list[PgQueue] = []
    for target in targets:
        if ":" in str(target):
            found = import_object(target)
            if isinstance(found, ModuleType) or not isinstance(found, PgQueue):
                raise ConfigurationError(
                    f"{shown(target)} must name an app, a PgQueue; it is a value of type "
                    f"{type(found).__name__}; name the module alone to load its tasks"
                )
            named.append(found)
        else:
            module = import_module(target)
            seen += [value for value in vars(module).values() if isinstance(value, PgQueue)]
    registry.add(remove_old_jobs)
    check_atomic(registry)
    apps = list(dict.fromkeys(named or seen))
    if len(apps) > 1:
        raise ConfigurationError(
            f"a worker works for one app; {len(apps)} were found; name one, as in shop.tasks:app"
        )
    return apps[0] if apps else default_app()
