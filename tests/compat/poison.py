"""A module that no row may have imported: it leaves a trace."""

import os
from pathlib import Path
from typing import Any

if "POISON" in os.environ:
    Path(os.environ["POISON"]).touch()


def run(*args: Any, **kwargs: Any) -> None:
    """Leave a trace as well."""
    if "POISON" in os.environ:
        Path(os.environ["POISON"]).touch()
