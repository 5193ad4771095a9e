"""Take jobs many times under planner settings that are all wrong, and count what came beyond the
limit: ``python -m tests.plans.claims --claims 100000 [--json] [--seed N]``."""

import argparse
import json
import random
import time
from typing import Any

from tests import factories
from tests.faults.corpus.rig import private_database
from tests.fixtures.databases import Database
from tests.plans.measure import Taker
from tests.plans.test_hostile_settings import HOSTILE

#: Jobs that are there at once; they are replaced when they are gone.
_JOBS = 5_000
_LIMITS = (1, 1, 1, 2, 3, 7, 20, 100)


def run(database: Database, claims: int, seed: int) -> dict[str, Any]:
    """Take so many times, the settings changing all the time; give the counts."""
    chance = random.Random(seed)
    admin = database.connect()
    admin.execute("ANALYZE")
    counts = {"claims": 0, "jobs": 0, "over the limit": 0, "taken twice": 0}
    while counts["claims"] < claims:
        name = chance.choice(list(HOSTILE))
        with database.connect() as c:
            taker = Taker(c)
            for setting, value in HOSTILE[name].items():
                c.execute("SELECT set_config(%s, %s, false)", (setting, value))
            taken: list[int] = []
            for _ in range(min(1_000, claims - counts["claims"])):
                if not admin.execute("SELECT FROM pgqueue.ready_jobs LIMIT 1").fetchall():
                    taker.take(0)
                    admin.execute("TRUNCATE pgqueue.jobs")
                    for priority in (0, 5, -5):
                        factories.jobs(admin, _JOBS // 3, priority=priority)
                limit = chance.choice(_LIMITS)
                found = taker.take(limit, full_scan=chance.random() < 0.2)
                counts["claims"] += 1
                counts["jobs"] += len(found)
                counts["over the limit"] += max(0, len(found) - limit)
                taken += found
            counts["taken twice"] += len(taken) - len(set(taken))
            taker.take(0)
    return counts


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.plans.claims", description=__doc__)
    parser.add_argument("--claims", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    begun = time.monotonic()
    with private_database() as database:
        server = database.execute("SHOW server_version")[0][0]
        found = run(database, words.claims, words.seed)
    found |= {"settings": len(HOSTILE), "seed": words.seed, "postgresql": server}
    found |= {"seconds": round(time.monotonic() - begun, 1)}
    print(json.dumps(found) if words.json else found)
    raise SystemExit(bool(found["over the limit"] or found["taken twice"]))


if __name__ == "__main__":
    main()
