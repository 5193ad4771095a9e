"""What a module of an application may hold without meaning that a row may run it."""

import functools
import os
import subprocess
from os import system
from os import system as _system
from pathlib import Path
from typing import Any, ClassVar

from django.contrib.auth.hashers import make_password
from django.core.management import call_command

from tests.compat.project.market.tasks import Basket, echo

part = functools.partial(echo, 1)
constant = 3
basket = Basket()


def _private() -> None:
    """Nobody's."""


class Traps:
    """A class with methods that are not its own."""

    run = staticmethod(subprocess.call)
    inner: ClassVar[type] = Path

    def mine(self) -> str:
        """Be its own."""
        return "mine"

    @staticmethod
    def _hidden() -> None:
        """Nobody's."""


__all__ = [
    "Any",
    "Basket",
    "_system",
    "call_command",
    "echo",
    "make_password",
    "os",
    "subprocess",
    "system",
]
