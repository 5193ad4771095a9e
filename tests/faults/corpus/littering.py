"""Tasks that succeed and leave their process other than they found it; and one that looks."""

import asyncio
import atexit
import builtins
import contextlib
import gc
import json
import locale
import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any, NoReturn

import psycopg

from pgqueue import task

_kept: list[Any] = []


@task
def fork_and_return() -> str:
    """Return twice."""
    os.fork()
    return "returned"


@task
def fork_bomb() -> str:
    """Return sixteen times; bounded by its own count."""
    for _ in range(4):
        os.fork()
    return "returned"


@task
def close_the_standard_streams() -> None:
    os.close(1)
    os.close(2)


class _Broken:
    def write(self, _text: str) -> NoReturn:
        raise OSError("no place to write")

    flush = write


@task
def replace_the_standard_streams() -> None:
    sys.stdout = sys.stderr = _Broken()  # type: ignore[assignment]


@task
def go_elsewhere() -> None:
    """Change into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)


@task
def change_the_umask() -> None:
    os.umask(0o777)


@task
def change_the_environment() -> None:
    os.environ["PGQUEUE_POISON"] = "1"
    os.environ["PATH"] = ""


def _handle(_number: int, _frame: object) -> NoReturn:
    raise RuntimeError("a signal came")


@task
def change_signal_handlers() -> bool:
    """Handle signals, where a task can: in the main thread."""
    with contextlib.suppress(ValueError):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, _handle)
        return True
    return False


@task
def change_the_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C.UTF-8")


@task
def change_the_path() -> None:
    sys.path[:] = ["/nowhere"]


@task
def change_the_recursion_limit() -> None:
    sys.setrecursionlimit(10**6)


@task
def leak_threads() -> None:
    """Leave threads behind that nobody waits for and nobody can end."""
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(86_400,), daemon=False).start()


@task
def register_at_exit() -> None:
    atexit.register(time.sleep, 86_400)
    atexit.register(os._exit, 9)


@task
def delete_its_module() -> None:
    del sys.modules[__name__]


@task
def patch_time() -> None:
    time.monotonic = lambda: -1e9


@task
def patch_json() -> None:
    json.dumps = json.loads = None  # type: ignore[assignment]


@task
def patch_open() -> None:
    builtins.open = None  # type: ignore[assignment]


@task
async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()


@task
def signal_its_group() -> None:
    os.killpg(0, signal.SIGTERM)


@task
def lead_a_session() -> None:
    with contextlib.suppress(PermissionError):
        os.setsid()


@task
def be_nice() -> int:
    return os.nice(5)


@task
def stop_collecting() -> None:
    gc.disable()


@task
def hook_threads() -> None:
    threading.excepthook = lambda _arguments: 1 / 0
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


def _tracer(_frame: object, _event: str, _argument: object) -> Any:
    raise RuntimeError("traced")


@task
def trace() -> None:
    threading.settrace(_tracer)
    sys.settrace(_tracer)


class _Undying:
    def __del__(self) -> None:
        raise RuntimeError("not me")


@task
def raise_while_deleted() -> None:
    cycle = [_Undying()]
    cycle.append(cycle)  # type: ignore[arg-type]
    del cycle
    gc.collect()


@task
def leave_a_transaction() -> None:
    """Open a transaction, hold a lock in it, and lose it without an end."""
    connection = psycopg.connect(os.environ["PGQUEUE_DSN"])
    connection.execute("SELECT pg_advisory_xact_lock(20260102)")
    _kept.append(connection)


# -- well-behaved ---------------------------------------------------------------------------


@task
def sibling(value: object = None) -> object:
    """Give the argument back after a moment."""
    time.sleep(0.001)
    return value


@task
async def async_sibling(value: object = None) -> object:
    """Give the argument back after a moment on the event loop."""
    await asyncio.sleep(0.001)
    return value


@task
def look_around() -> dict[str, Any]:
    """Tell what a tidy process would have as it was."""
    mask = os.umask(0)
    os.umask(mask)
    try:
        folder = os.getcwd()
    except OSError:
        folder = "gone"
    return {
        "cwd": folder,
        "environment": dict(os.environ),
        "handlers": {
            number.name: str(signal.getsignal(number))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD)
        },
        "path": sys.path,
        "recursion limit": sys.getrecursionlimit(),
        "umask": mask,
    }
