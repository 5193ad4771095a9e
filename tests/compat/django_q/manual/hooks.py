"""The module `hooks` of the manual's examples."""

from typing import Any


def print_result(task: Any) -> None:
    """Print what came out."""
    print(task.result)
