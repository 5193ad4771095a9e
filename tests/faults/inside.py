"""Run pgqueue inside a network namespace or a control group, or another copy of pgqueue.

    python -m tests.faults.inside netns=NAME cgroup=/path tree=/path … worker --app …

The supervisor and all its descendants are in there; or are of the copy that lies in that folder.
"""

import ctypes
import os
import sys
from pathlib import Path

_NEWNET = 0x40000000


def enter_namespace(name: str) -> None:
    """Go into a network namespace that `ip netns add` has made."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{name}") as file:
        if libc.setns(file.fileno(), _NEWNET):
            raise OSError(ctypes.get_errno(), "cannot enter the network namespace")


def main() -> None:
    """Go where we are told, and become pgqueue there."""
    words = sys.argv[1:]
    while words and "=" in words[0]:
        what, _, where = words.pop(0).partition("=")
        if what == "netns":
            enter_namespace(where)
        elif what == "cgroup":
            (Path(where) / "cgroup.procs").write_text(str(os.getpid()))
        elif what == "tree":
            # The working directory comes first, then what the environment names: our tasks.
            os.chdir(where)
        else:
            raise SystemExit(f"expected netns=NAME, cgroup=PATH or tree=PATH; got {what}")
    os.execv(sys.executable, [sys.executable, "-m", "pgqueue", *words])


if __name__ == "__main__":
    main()
