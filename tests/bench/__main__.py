"""Run a benchmark: ``python -m tests.bench drain|latency|features [--json]``."""

import argparse
import json
import os

from tests.bench import drain, features, latency


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("drain", help="jobs a second of one worker, against its floors")
    one.add_argument("--jobs", type=int, default=100_000)
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--batch", type=int, default=500, help="of the floors; the worker's own most")
    one.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    one.add_argument("--json", action="store_true")
    two = commands.add_parser("latency", help="milliseconds from commit to start, idle worker")
    two.add_argument("--jobs", type=int, default=500)
    two.add_argument("--gap", type=float, default=0.02, help="seconds between two jobs")
    two.add_argument("--json", action="store_true")
    three = commands.add_parser("features", help="CPU of the server a job, as ratio to a plain one")
    three.add_argument("--jobs", type=int, default=10_000)
    three.add_argument("--rounds", type=int, default=9)
    three.add_argument("--batch", type=int, default=100)
    three.add_argument("--only", help="one of them, or several with commas between")
    three.add_argument("--json", action="store_true")
    words = parser.parse_args()
    if words.command == "drain":
        found = drain.run(words.jobs, words.rounds, words.batch, words.processes)
    elif words.command == "features":
        found = features.run(words.jobs, words.rounds, words.batch, words.only)
    else:
        found = latency.run(words.jobs, words.gap)
    if words.json:
        print(json.dumps(found))
    else:
        for name, figure in found.items():
            print(f"{name:20} {figure}")


if __name__ == "__main__":
    main()
