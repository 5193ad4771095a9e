"""Run a collection: ``python -m tests.faults.corpus --kind poison|data [--json] [NAME…]``."""

import argparse
import json
import time

from tests.acceptance.support import Jobs
from tests.faults.corpus import data, poison
from tests.faults.corpus.rig import private_database


def main() -> None:
    """Parse, feed, print a row for each and their sum."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.corpus", description=__doc__)
    parser.add_argument("--kind", choices=("poison", "data"), required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("names", nargs="*", help="of poison, only these")
    words = parser.parse_args()
    begun = time.monotonic()
    with private_database() as database:
        jobs = Jobs(database.dsn)
        server = str(jobs.value("SHOW server_version"))
        found = poison.run(jobs, *words.names) if words.kind == "poison" else data.run(database)
        jobs.close()
    good = sum(one.ok for one in found)
    for one in found:
        if words.json:
            print(json.dumps(one.row()))
        else:
            print(f"{'ok' if one.ok else 'NOT OK':7} {one.name:32} {one.came}")
    total = {
        "kind": words.kind,
        "total": f"{good}/{len(found)}",
        "postgresql": server,
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(total) if words.json else f"{total['total']} in {total['seconds']} s")
    raise SystemExit(good != len(found))


if __name__ == "__main__":
    main()
