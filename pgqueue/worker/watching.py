"""Notice that the source of the application has changed; for `--reload`, in development."""

import os
import sys
from typing import Final

#: Seconds between two looks.
EVERY: Final = 0.5


class Watcher:
    """Watch the files of the modules that were imported, but for those of Python itself.

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
    ours = (sys.prefix, sys.base_prefix)
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return sorted({file for file in files if isinstance(file, str) and not file.startswith(ours)})
