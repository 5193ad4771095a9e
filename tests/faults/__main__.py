"""Fault campaigns from the command line.

python -m tests.faults --seed 7 --scenario kill9 --jobs 10000 --kills 50 --json
python -m tests.faults                     # all scenarios, one after the other, and a table
python -m tests.faults --mutants           # what is broken on purpose must be caught
python -m tests.faults --list
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.campaign import Row, run
from tests.faults.scenarios import Scenario, scenarios

_COLUMNS = (
    "scenario", "server", "cycles", "committed", "aborted", "unknown", "lost", "phantom", "rerun",
    "double_finish", "refused", "stuck", "overlap", "effect_wrong", "rescue_p95", "rescue_max",
    "wall", "ok",
)  # fmt: skip


def main() -> int:
    """Parse, run, print; 1 if a verdict failed."""
    words = _parser().parse_args()
    known = scenarios()
    if words.list:
        for scenario in known.values():
            print(f"{scenario.name:20} {scenario.summary}")
        return 0
    if words.mutants:
        from tests.faults.mutants import main as run_mutants

        return run_mutants(words.postgres, words.only)
    names = words.scenario or list(known)
    strange = [name for name in names if name not in known]
    if strange:
        print(f"--scenario must be one of {', '.join(known)}; got {', '.join(strange)}")
        return 2
    rows = [_play(known[name], words) for name in names]
    if not words.json:
        _print(rows)
    return 0 if all(row["ok"] for row in rows) else 1


def _play(scenario: Scenario, words: argparse.Namespace) -> Row:
    missing = scenario.needs()
    if missing is not None:
        row: Row = {"scenario": scenario.name, "ok": True, "skipped": missing}
    else:
        keep = None if words.keep is None else Path(words.keep) / scenario.name
        try:
            row, _report = run(
                scenario, seed=words.seed, jobs=words.jobs, cycles=words.cycles,
                postgres=words.postgres, keep=keep,
            )  # fmt: skip
        except Exception as error:
            if not words.go_on:
                raise
            said = f"{type(error).__name__}: {error}"
            row = {"scenario": scenario.name, "seed": words.seed, "ok": False, "broken": said}
    if words.json:
        print(json.dumps(row), flush=True)
    else:
        print(f"{scenario.name}: {_in_words(row)}", file=sys.stderr, flush=True)
    return row


def _in_words(row: Row) -> str:
    if row["ok"]:
        return row.get("skipped") or f"ok, {row['wall']} s"
    return f"FAILED {row.get('failed') or row.get('broken')} {json.dumps(row.get('findings'))}"


def _print(rows: list[Row]) -> None:
    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*(_cell(row, name) for name in _COLUMNS))
    Console(width=200 if not sys.stdout.isatty() else None).print(table)


def _cell(row: Row, name: str) -> str:
    if name == "ok":
        return "skipped" if "skipped" in row else "ok" if row["ok"] else "FAILED"
    found: Any = row.get(name)
    return "" if found is None else str(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append", help="may be given again; default: all")
    parser.add_argument("--jobs", type=int, help="how many are enqueued")
    parser.add_argument("--cycles", "--kills", type=int, help="how many faults")
    parser.add_argument("--postgres", default=os.environ.get("PGQUEUE_TEST_POSTGRES") or None,
                        help="directory of the server's programs")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--keep", help="directory in which histories and logs are left")
    parser.add_argument("--go-on", action="store_true", help="after a campaign that broke down")
    parser.add_argument("--mutants", action="store_true", help="run the mutants instead")
    parser.add_argument("--only", action="append", help="names of mutants")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    return parser


if __name__ == "__main__":
    sys.exit(main())
