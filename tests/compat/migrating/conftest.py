"""Run the command in this process."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pgqueue.__main__ import main
from tests.django_app.conftest import _point
from tests.fixtures.databases import Database, _drop, create_database


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a run gave."""

    code: int
    out: str
    err: str
    report: Any

    def counts(self) -> dict[str, tuple[int, int, int, int]]:
        """Rows found, moved before, moved and refused, by what they are."""
        return {
            table["what"]: tuple(
                table[name] for name in ("found", "moved_before", "moved", "refused")
            )
            for table in self.report["tables"]
        }

    def refusals(self) -> dict[str, str]:
        """Why rows were refused, by their keys."""
        return {
            one["id"]: one["why"] for table in self.report["tables"] for one in table["refusals"]
        }


Migrate = Callable[..., Done]


@pytest.fixture
def second(market: Database) -> Iterator[Database]:
    """The alias `other`, on an empty database beside that of the queue."""
    from django.db import connections

    found = create_database(market.server)
    _point("other", found)
    yield found
    connections["other"].close()
    _drop(found)


@pytest.fixture
def migrate(market: Database, capsys: pytest.CaptureFixture[str]) -> Migrate:
    def migrate(*words: str, text: bool = False) -> Done:
        capsys.readouterr()
        code = main(["migrate-from", *words, *([] if text else ["--json"])])
        said = capsys.readouterr()
        report = json.loads(said.out) if said.out and not text else None
        return Done(code=code, out=said.out, err=said.err, report=report)

    return migrate
