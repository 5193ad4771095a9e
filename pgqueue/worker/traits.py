"""What a process has only one of, and a task may change: how to read it, how to set it back."""

import faulthandler
import gc
import importlib
import locale
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: `signal.getsignal` without the enums, which take it twenty times as long.
_handler_of: Callable[[int], Any] = importlib.import_module("_signal").getsignal

_SIGNALS = tuple(
    int(number)
    for number in (
        signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2,
        signal.SIGALRM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGTTIN, signal.SIGTTOU,
        signal.SIGURG,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing of a process.

    Attributes:
        name: for people.
        value: what it was before there were any jobs.
        read: gives what it is.
        restore: sets it to what it was; may be called when nothing has changed.
        main_only: whether nobody but the main thread can read and set it.
    """

    name: str
    value: Any
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    main_only: bool = False

    def is_changed(self) -> bool:
        """Whether it is not what it was."""
        return bool(self.read() != self.value)


def environment() -> Any:
    """Give the environment in the form in which it is compared fastest."""
    return getattr(os.environ, "_data", os.environ)


def working_directory() -> str | None:
    """Give the working directory; None if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


def of_this_process() -> list[Trait]:
    """Read everything as it is now, in the main thread."""
    environ, path, mask = os.environ, sys.path, _read_umask()

    def restore_environment(saved: Any) -> None:
        os.environ = environ  # noqa: B003
        names = {name for name, value in saved.items() if environment().get(name) != value}
        for name in set(environment()) - set(saved):
            del environ[os.fsdecode(name)]
        for name in names:
            environ[os.fsdecode(name)] = os.fsdecode(saved[name])

    def restore_path(saved: list[str]) -> None:
        sys.path = path
        sys.path[:] = saved

    def restore_handlers(saved: tuple[Any, ...]) -> None:
        for number, handler in zip(_SIGNALS, saved, strict=True):
            if handler is not None and _handler_of(number) is not handler:
                signal.signal(number, handler)

    directory = working_directory()
    return [
        Trait(
            "the working directory", directory, working_directory,
            _change_directory,
        ),
        Trait(
            "the environment", dict(environment()), environment, restore_environment,
        ),
        Trait("sys.path", list(path), lambda: sys.path, restore_path),
        # To read the umask is to set it: to what it should be.
        Trait("the umask", mask, lambda: os.umask(mask), os.umask),
        Trait(
            "the recursion limit", sys.getrecursionlimit(), sys.getrecursionlimit,
            sys.setrecursionlimit,
        ),
        Trait(
            "the switch interval of threads", sys.getswitchinterval(), sys.getswitchinterval,
            sys.setswitchinterval,
        ),
        Trait(
            "the default timeout of sockets", socket.getdefaulttimeout(),
            socket.getdefaulttimeout, socket.setdefaulttimeout,
        ),
        Trait(
            "garbage collection", gc.isenabled(), gc.isenabled,
            lambda on: gc.enable() if on else gc.disable(),
        ),
        Trait(
            "what traces threads", threading.gettrace(), threading.gettrace, _trace_threads,
        ),
        Trait(
            "the locale", _read_locale(), _read_locale,
            lambda saved: locale.setlocale(locale.LC_ALL, saved),
        ),
        Trait(
            "an alarm", (0.0, 0.0), lambda: signal.getitimer(signal.ITIMER_REAL),
            lambda _: signal.setitimer(signal.ITIMER_REAL, 0),
        ),
        Trait(
            "signal handlers", _read_handlers(), _read_handlers, restore_handlers, True,
        ),
        Trait(
            "the handler that writes stacks", _handler_of(signal.SIGUSR1),
            lambda: _handler_of(signal.SIGUSR1), _write_stacks_again, True,
        ),
        # Likewise: it can only be read by setting it.
        Trait(
            "the wakeup descriptor of signals", -1, lambda: signal.set_wakeup_fd(-1),
            lambda _: None, True,
        ),
    ]  # fmt: skip


def _trace_threads(saved: Any) -> None:
    # Else a tracer that fails would end every thread as it begins.
    threading.settrace(saved)


def _write_stacks_again(saved: Any) -> None:
    # The handler is not Python's, which knows only what stood there before it.
    signal.signal(signal.SIGUSR1, saved)
    # It holds itself for the one in place until it is told otherwise.
    faulthandler.unregister(signal.SIGUSR1)
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)


def _change_directory(saved: str | None) -> None:
    if saved is not None:
        os.chdir(saved)


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _read_locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _read_handlers() -> tuple[Any, ...]:
    return tuple(map(_handler_of, _SIGNALS))
