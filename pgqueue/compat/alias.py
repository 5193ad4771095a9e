"""The old name of a package: `import django_q.tasks` gives the very module of the facade.

There is one module object under both names, and so one class, whichever name it was reached by.
Modules come to be when they are imported. Nothing here imports Django, so that a settings module
can call it.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from pgqueue.core.errors import ConfigurationError, shown

#: The packages of the old libraries, and the facade of each.
FACADES: Final = {
    "django_q": "pgqueue.compat.django_q",
    "django_future": "pgqueue.compat.django_future",
    "async": "pgqueue.compat.django_async",
}


def install(package: str, name: str) -> None:
    """Let a package be imported by another name as well, with all that is in it.

    Args:
        package: its own name.
        name: the other one, without a dot.

    Raises:
        ConfigurationError: it is no name, or something else was imported by it already.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigurationError(
            f"the other name of {package} must be one word such as 'django_q'; got {shown(name)}"
        )
    taken = _finder.names.get(name)
    if taken not in (None, package):
        raise ConfigurationError(f"{name} is another name of {taken} already")
    there = sys.modules.get(name)
    if there is not None and there.__name__ != package:
        raise ConfigurationError(
            f"{name} was imported already, from {shown(getattr(there, '__file__', None))}; call "
            "install_as() before anything imports it, best at the top of the settings"
        )
    _finder.names[name] = package
    if _finder not in sys.meta_path:
        # Before those that look into folders: the old library may still be installed.
        sys.meta_path.insert(0, _finder)


def uninstall(name: str) -> None:
    """Take `install` back; modules that were imported by the other name stay with who has them."""
    package = _finder.names.pop(name, None)
    for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        if package is not None:
            del sys.modules[module]


def real(name: str) -> str:
    """Give the name that a dotted name has without aliases."""
    first, dot, rest = name.partition(".")
    return f"{_finder.names.get(first, first)}{dot}{rest}"


class Name(str):
    """The name of an app, equal to the other names of its package as well.

    So `apps.is_installed("django_q")` holds, which other apps ask, while all else that Django does
    by the name goes by the package's own.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str.__eq__(self, real(str(other)))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class _Finder(MetaPathFinder):
    """Find modules by their other names.

    Attributes:
        names: the package behind each.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find one."""
        own = real(fullname)
        if own == fullname:
            return None
        found = importlib.util.find_spec(own)
        if found is None:
            return None
        spec = ModuleSpec(fullname, _Same(own), origin=found.origin)
        spec.submodule_search_locations = found.submodule_search_locations
        return spec


class _Same(Loader):
    """Load a module by giving the one that there is.

    Args:
        own: its own name.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Give it, imported by its own name."""
        module = importlib.import_module(self._own)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Put back what the import system has written over."""
        module.__spec__ = self._spec


_finder: Final = _Finder()
