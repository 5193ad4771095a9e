"""`schema`: install, upgrade, check, compare and remove the schema pgqueue."""

import dataclasses
import sys
from argparse import Namespace

from pgqueue.cli.exits import Exit
from pgqueue.cli.output import note, print_json, print_table, say
from pgqueue.cli.parser import Parser
from pgqueue.core.errors import ConfigurationError
from pgqueue.db import connections, schema


def add(top: Parser) -> None:
    """Add the commands."""
    noun = top.command("schema", "install, upgrade, check and remove the schema")
    noun.command(
        "upgrade",
        "install the schema, or bring it to the newest version",
        _upgrade,
        details="Run again, it finds nothing to do; two at once wait for each other. With --json: "
        "version_before, version_after, applied, recorded (installed by psql, now taken on) and "
        "retries.",
    )
    noun.command(
        "status",
        "tell which version is installed and whether it fits",
        _status,
        details="Exit code 4 unless it does. The status is current, newer (and bears this "
        "program), outdated, missing, too-new, modified or unrecorded. With --json: status, "
        "version_installed, version_known, problem (a sentence or null) and versions: an array of "
        "objects with number, sha256, breaking and applied_at.",
    )
    noun.command(
        "verify",
        "list what is not as it was installed",
        _verify,
        details="Exit code 1 if there is any. With --json: an array of objects with object, "
        "problem (missing, added, changed), expected and found.",
    )
    parser = noun.command(
        "uninstall",
        "drop the schema with all jobs in it",
        _uninstall,
        details="Asks on a terminal; elsewhere it needs --yes. With --json: uninstalled.",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--force", action="store_true", help="also while workers are alive or jobs unfinished"
    )


def _upgrade(words: Namespace) -> int:
    with connections.opened(words.dsn) as connection:
        report = schema.upgrade(connection)
    done = [f"installed version {number}" for number in report.applied]
    done += [f"recorded version {number}, which psql had installed" for number in report.recorded]
    if not done:
        done = [f"nothing to do, version {report.version_after} is there"]
    say(words, f"schema: {'; '.join(done)}", dataclasses.asdict(report))
    return Exit.OK


def _status(words: Namespace) -> int:
    with connections.opened(words.dsn) as connection:
        found = schema.status(connection)
    problem = found.problem()
    versions = [dataclasses.asdict(version) for version in found.installed]
    facts = {
        "status": found.word,
        "version_installed": found.version_installed,
        "version_known": found.version_known,
        "problem": None if problem is None else str(problem),
        "versions": versions,
    }
    if words.json:
        print_json(facts)
    else:
        if found.installed:
            print_table(
                ("version", "applied at", "breaking", "sha256"),
                [
                    (item.number, item.applied_at, item.breaking, item.sha256[:12])
                    for item in found.installed
                ],
            )
        print(
            f"{found.word}: version {found.version_installed or 'none'} installed, "
            f"{found.version_known} known"
        )
    if problem is None:
        return Exit.OK
    note(str(problem))
    return Exit.SCHEMA


def _verify(words: Namespace) -> int:
    with connections.opened(words.dsn) as connection:
        differences = schema.verify(connection)
    if words.json:
        print_json([dataclasses.asdict(difference) for difference in differences])
    elif differences:
        print_table(
            ("object", "problem", "expected", "found"),
            [(item.object, item.problem, item.expected, item.found) for item in differences],
        )
    else:
        print("everything is as it was installed")
    return Exit.FAILED if differences else Exit.OK


def _uninstall(words: Namespace) -> int:
    with connections.opened(words.dsn) as connection:
        if not words.yes and not _confirmed(connections.describe(connection)):
            note("nothing was changed")
            return Exit.FAILED
        schema.uninstall(connection, force=words.force)
    say(words, "schema: uninstalled", {"uninstalled": True})
    return Exit.OK


def _confirmed(where: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigurationError("uninstall deletes all jobs and nobody can be asked; give --yes")
    sys.stderr.write(f"drop the schema pgqueue with all jobs in {where}? Type yes: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == "yes"
