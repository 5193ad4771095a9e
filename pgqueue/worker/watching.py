"""Notice that the source of the application has changed; for `--reload`, in development."""

import os
import site
import sys
import sysconfig
from typing import Final

#: Seconds between two looks.
EVERY: Final = 0.5
#: Where Python and what was installed for it lie. Not all of its prefix: an application may lie in
#: the same folder as its environment, or in /usr/src beside the Python of the system.
_INSTALLED: Final = tuple(
    os.path.join(path, "")
    for path in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    }
)


class Watcher:
    """Watch the files of the modules that were imported, but for those of Python itself and those
    that were installed.

    Nothing is asked of the system but the times of files: it works on every file system, and in
    the process that children are forked from, which has one thread.
    """

    def __init__(self) -> None:
        self._seen = _times()
        self._changed = False

    def look(self) -> bool:
        """Tell whether files have changed since it last said so, and have come to rest."""
        now = _times(self._seen)
        moved = now != self._seen
        self._seen = now
        if moved:
            # An editor may be writing others; the next look decides.
            self._changed = True
            return False
        told, self._changed = self._changed, False
        return told


def _times(known: dict[str, int] | None = None) -> dict[str, int]:
    paths = _paths() if known is None else list(known)
    found: dict[str, int] = {}
    for path in paths:
        try:
            found[path] = os.stat(path).st_mtime_ns
        except OSError:
            found[path] = 0
    return found


def _paths() -> list[str]:
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return sorted(
        {file for file in files if isinstance(file, str) and not file.startswith(_INSTALLED)}
    )
