"""Write docs/reference/sql.md from the COMMENTs in the catalog of an installed schema."""

import re
from typing import Any, Final

import psycopg

Rows = list[tuple[Any, ...]]

_HEAD: Final = """\
# SQL reference

Everything below is callable from any language that speaks to PostgreSQL.

```sql
INSERT INTO pgqueue.jobs (task, args) VALUES ('shop.tasks.send_receipt', '[42]');
SELECT pgqueue.enqueue('shop.tasks.send_receipt', args => '[42]', run_at => now() + '5 min');
SELECT id, state, task FROM pgqueue.job_overview;
```

This page is generated from the comments in the catalog (`\\df+ pgqueue.*` shows the same in psql).
Arguments are best given by name.
How jobs move between the tables is told in [life of a job](../explanation/life-of-a-job.md), the
error codes are listed in [errors](errors.md).
"""

#: The functions by purpose; what is not named here is a part of these.
_GROUPS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "Jobs": (
        "For applications and people.",
        (
            "enqueue",
            "enqueue_many",
            "cancel",
            "retry",
            "set_priority",
            "set_queue",
            "delete_job",
            "wait_for",
        ),
    ),
    "Groups and flows": (
        "Jobs that belong together, or run after each other.",
        (
            "create_group",
            "close_group",
            "enqueue_flow",
            "group_results",
            "cancel_group",
            "retry_group",
            "delete_group",
        ),
    ),
    "Queues": ("Settings of queues.", ("pause", "resume", "configure_queue")),
    "Schedules": (
        "What recurs; see [schedules](../howto/schedules.md).",
        (
            "schedule",
            "pause_schedule",
            "resume_schedule",
            "run_schedule_now",
            "delete_schedule",
            "declare_schedules",
        ),
    ),
    "Looking": (
        "Whether all is well; see also the views.",
        ("health", "history", "find_jobs", "check_invariants"),
    ),
    "Workers": (
        "What a worker of any language calls; see "
        "[from other languages](../howto/from-other-languages.md).",
        (
            "register_worker",
            "hold_liveness",
            "dequeue",
            "take_job",
            "finish",
            "beat",
            "keep_alive",
            "forget_worker",
            "set_progress",
            "add_log",
            "work",
            "held",
        ),
    ),
    "The doorbell": (
        "How workers sleep and are woken; see [the doorbell](../explanation/doorbell.md).",
        ("ring", "arm", "still_writing", "waiting", "disarm"),
    ),
    "Housekeeping": (
        "What the leading worker calls now and then. Anybody may, at any time.",
        (
            "promote",
            "rescue",
            "expire",
            "prune",
            "resume_due",
            "schedules_due_in",
            "due_schedules",
            "fire_schedules",
            "prune_schedule_runs",
            "file_strays",
            "apply_cancels",
            "tidy",
            "advance",
        ),
    ),
}
_PARTS: Final = ("Parts", "What the functions above are made of. Not to be called.")

_RELATIONS: Final = """
SELECT c.oid, c.relname, c.relkind::text, obj_description(c.oid, 'pg_class')
FROM pg_class AS c
WHERE c.relnamespace = 'pgqueue'::regnamespace AND c.relkind IN ('r', 'v')
ORDER BY c.relname
"""
_COLUMNS: Final = """
SELECT
    a.attname,
    format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE 'identity' END,
    col_description(a.attrelid, a.attnum)
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_FUNCTIONS: Final = """
SELECT
    p.proname,
    pg_get_function_arguments(p.oid),
    pg_get_function_result(p.oid),
    obj_description(p.oid, 'pg_proc')
FROM pg_proc AS p
WHERE p.pronamespace = 'pgqueue'::regnamespace
ORDER BY p.proname, p.oid
"""
_TRIGGERS: Final = """
SELECT t.tgname, t.tgrelid::regclass::text, obj_description(t.oid, 'pg_trigger')
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'pgqueue'::regnamespace AND NOT t.tgisinternal
ORDER BY t.tgname
"""
_POSITIONS: Final = (
    "ready_jobs",
    "scheduled_jobs",
    "blocked_jobs",
    "running_jobs",
    "finished_jobs",
)


def names(connection: psycopg.Connection[Any]) -> list[str]:
    """List the names of all functions, tables and views."""
    functions = connection.execute(_FUNCTIONS.encode()).fetchall()
    relations = connection.execute(_RELATIONS.encode()).fetchall()
    return sorted({str(row[0]) for row in functions} | {str(row[1]) for row in relations})


def write(connection: psycopg.Connection[Any]) -> str:
    """Write the page."""
    parts = [_HEAD, *_functions(connection.execute(_FUNCTIONS.encode()).fetchall())]
    relations = connection.execute(_RELATIONS.encode()).fetchall()
    views = [row for row in relations if row[2] == "v"]
    tables = {row[1]: row for row in relations if row[2] == "r"}
    parts.append("## Views\n")
    for view in views:
        parts += [_heading(view), _columns(connection, view[0], commented=False)]
    parts.append("## Tables\n")
    order = ["jobs", *_POSITIONS]
    for name in order + sorted(tables.keys() - set(order)):
        parts += [_heading(tables[name]), _columns(connection, tables[name][0], commented=True)]
    parts.append("## Triggers\n")
    triggers = connection.execute(_TRIGGERS.encode()).fetchall()
    parts.append(
        "| trigger | on | does |\n| --- | --- | --- |\n"
        + "".join(f"| `{name}` | `{table}` | {_line(text)} |\n" for name, table, text in triggers)
    )
    return "\n".join(parts)


def _heading(relation: tuple[Any, ...]) -> str:
    return f"### pgqueue.{relation[1]}\n\n{_prose(relation[3])}"


def _columns(connection: psycopg.Connection[Any], oid: int, *, commented: bool) -> str:
    rows = connection.execute(_COLUMNS.encode(), (oid,)).fetchall()
    if not commented:
        return (
            "Columns: " + ", ".join(f"`{name}` {_short(kind)}" for name, kind, _, _ in rows) + ".\n"
        )
    lines = ["| column | type | default | |", "| --- | --- | --- | --- |"]
    for name, kind, default, comment in rows:
        shown = f"`{_short(default)}`" if default else ""
        lines.append(f"| `{name}` | {_short(kind)} | {shown} | {_line(comment)} |")
    return "\n".join(lines) + "\n"


def _functions(rows: Rows) -> list[str]:
    found = {str(row[0]): row for row in rows if row[2] != "trigger"}
    parts = []
    named: set[str] = set()
    for title, (words, members) in _GROUPS.items():
        parts.append(f"## {title}\n\n{words}\n")
        parts += [_function(*found[name]) for name in members if name in found]
        named.update(members)
    title, words = _PARTS
    parts.append(f"## {title}\n\n{words}\n")
    parts += [_function(*row) for name, row in found.items() if name not in named]
    return parts


def _function(name: str, arguments: str, result: str, comment: str) -> str:
    arguments, result = _short(arguments), _short(result)
    given = [one for one in _split(arguments) if not one.startswith("OUT ")]
    returned = [one.removeprefix("OUT ") for one in _split(arguments) if one.startswith("OUT ")]
    if returned:
        result = f"({', '.join(returned)})"
    call = f"pgqueue.{name}({', '.join(given)})"
    if len(call) > 88:
        call = f"pgqueue.{name}(\n    " + ",\n    ".join(given) + "\n)"
    tail = f" → {result}"
    if len(call.rpartition("\n")[2]) + len(tail) > 96:
        inner = result.partition("(")[2].removesuffix(")")
        tail = f" → {result.partition('(')[0]}(\n    " + ",\n    ".join(_split(inner)) + "\n)"
    return f"### {name}\n\n```text\n{call}{tail}\n```\n\n{_prose(comment)}"


def _short(text: str) -> str:
    """Leave out what the server adds: the casts of defaults, the long names of types."""
    bare = re.sub(r"('(?:[^']|'')*'|NULL)::[a-z ]+(?:\[\])?", r"\1", text)
    return bare.replace("timestamp with time zone", "timestamptz").replace(
        "double precision", "float8"
    )


def _split(arguments: str) -> list[str]:
    """Split at the commas between arguments, not at those within quotes or parentheses."""
    parts = re.findall(r"(?:'(?:[^']|'')*'|\([^)]*\)|[^,'(])+", arguments)
    return [part.strip() for part in parts if part.strip()]


def _line(comment: str | None) -> str:
    return _escaped(" ".join((comment or "").split())).replace("|", "\\|")


def _prose(comment: str | None) -> str:
    """Give a comment's paragraphs; its labelled parts (`Args:` …) become a list."""
    parts = []
    for paragraph in (comment or "").split("\n\n"):
        items = re.split(r"\n(?=(?:Args|Returns|Errors|Locks|Setting): )", paragraph.strip())
        for item in items:
            label, colon, rest = item.partition(": ")
            text = _escaped(" ".join(item.split()))
            if colon and label in ("Args", "Returns", "Errors", "Locks", "Setting"):
                text = f"- **{label}**: {_escaped(' '.join(rest.split()))}"
            parts.append(text + ("" if text.startswith("- ") else "\n"))
        if parts[-1].startswith("- "):
            parts[-1] += "\n"
    return "\n".join(parts)


def _escaped(text: str) -> str:
    # `{*}` and `"*"` would be read as emphasis.
    return text.replace("*", "\\*").replace("<", "&lt;")
