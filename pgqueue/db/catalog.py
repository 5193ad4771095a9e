"""Describe what the schema pgqueue holds in a database, as a value that can be stored and compared.

A manifest maps each object ("function enqueue(text, …)") to its definition as the server gives it.
Left out, because people may change them to suit their machine: storage parameters, owners, grants,
comments.
"""

import dataclasses
from typing import Any, Literal, LiteralString

import psycopg
from psycopg.rows import tuple_row

Manifest = dict[str, str]
Problem = Literal["missing", "added", "changed"]

# The server's words for these differ between its major versions.
_VERSIONED = ("index ", "constraint ", "view ", "column ")
_SERVER = "server"
# With an empty search_path all names are qualified; the others steer how constants are written.
_WORDING = {
    "search_path": "",
    "quote_all_identifiers": "off",
    "extra_float_digits": "1",
    "IntervalStyle": "postgres",
    "DateStyle": "ISO, YMD",
    "TimeZone": "UTC",
}

_OBJECTS: LiteralString = """
WITH space AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pgqueue'),
relations AS (SELECT c.* FROM pg_catalog.pg_class c JOIN space ON c.relnamespace = space.oid)
SELECT 'server' AS object, pg_catalog.current_setting('server_version_num') AS definition
UNION ALL
SELECT CASE r.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view ' WHEN 'S' THEN 'sequence '
                       WHEN 'c' THEN 'type ' ELSE 'table ' END || r.relname,
       CASE WHEN r.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(r.oid)
       ELSE pg_catalog.concat_ws(' ', r.relkind, r.relpersistence,
                                 CASE WHEN r.relrowsecurity THEN 'row security' END,
                                 pg_catalog.pg_get_partkeydef(r.oid)) END
FROM relations r WHERE r.relkind NOT IN ('i', 'I', 't')
UNION ALL
SELECT pg_catalog.format('column %s.%s', r.relname, a.attname),
       pg_catalog.concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
                            CASE WHEN a.attnotnull THEN 'not null' END,
                            'identity ' || NULLIF(a.attidentity::text, ''),
                            'generated ' || NULLIF(a.attgenerated::text, ''),
                            'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid))
FROM relations r
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p', 'f', 'c')
UNION ALL
SELECT 'index ' || r.relname,
       pg_catalog.pg_get_indexdef(r.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END
FROM relations r JOIN pg_catalog.pg_index i ON i.indexrelid = r.oid
UNION ALL
-- Since version 18 "not null" is a constraint too; the columns tell it already.
SELECT pg_catalog.format('constraint %s on %s', c.conname,
                         COALESCE(c.conrelid::pg_catalog.regclass::text,
                                  c.contypid::pg_catalog.regtype::text)),
       pg_catalog.pg_get_constraintdef(c.oid)
FROM pg_catalog.pg_constraint c JOIN space ON c.connamespace = space.oid WHERE c.contype <> 'n'
UNION ALL
SELECT pg_catalog.format('trigger %s on %s', t.tgname, r.relname),
       pg_catalog.pg_get_triggerdef(t.oid) ||
       CASE t.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' disabled'
                        WHEN 'R' THEN ' enabled replica' ELSE ' enabled always' END
FROM relations r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
UNION ALL
SELECT pg_catalog.format('function %s(%s)', p.proname,
                         pg_catalog.pg_get_function_identity_arguments(p.oid)),
       pg_catalog.concat_ws(' ', 'returns ' || pg_catalog.pg_get_function_result(p.oid), l.lanname,
                            pg_catalog.concat('volatility ', p.provolatile),
                            pg_catalog.concat('parallel ', p.proparallel),
                            CASE WHEN p.proisstrict THEN 'strict' END,
                            CASE WHEN p.prosecdef THEN 'security definer' END,
                            pg_catalog.array_to_string(p.proconfig, ' '),
                            'arguments ' || pg_catalog.pg_get_function_arguments(p.oid),
                            'md5 ' || pg_catalog.md5(p.prosrc || COALESCE(
                                pg_catalog.pg_get_function_sqlbody(p.oid), '')))
FROM pg_catalog.pg_proc p JOIN space ON p.pronamespace = space.oid
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
UNION ALL
SELECT 'type ' || t.typname,
       CASE t.typtype
       WHEN 'd' THEN 'domain over ' || pg_catalog.format_type(t.typbasetype, t.typtypmod)
       ELSE (SELECT pg_catalog.string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
             FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) END
FROM pg_catalog.pg_type t JOIN space ON t.typnamespace = space.oid WHERE t.typtype IN ('d', 'e')
UNION ALL
SELECT pg_catalog.format('policy %s on %s', o.polname, r.relname),
       pg_catalog.concat_ws(' ', o.polcmd, o.polpermissive,
                            pg_catalog.pg_get_expr(o.polqual, r.oid),
                            pg_catalog.pg_get_expr(o.polwithcheck, r.oid))
FROM relations r JOIN pg_catalog.pg_policy o ON o.polrelid = r.oid
UNION ALL
SELECT pg_catalog.format('rule %s on %s', w.rulename, r.relname), pg_catalog.pg_get_ruledef(w.oid)
FROM relations r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One object that is not as it was installed.

    Attributes:
        object: kind and name, such as "index jobs_pkey".
        problem: "missing" from the database, "added" to it, or "changed" in it.
        expected: the definition that was installed; None for an added object.
        found: the definition of today; None for a missing one.
    """

    object: str
    problem: Problem
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        """Say it in one line."""
        if self.problem == "changed":
            expected, found = (" ".join(str(d).split()) for d in (self.expected, self.found))
            return f"{self.object} is changed: expected {expected}; got {found}"
        return f"{self.object} is {self.problem}"


def read_manifest(connection: psycopg.Connection[Any]) -> Manifest:
    """Read the manifest of the schema pgqueue; it needs no privilege but to connect.

    Settings of the session that change how the server words a definition are put aside meanwhile.
    """
    manifest: Manifest = {}
    with (
        connection.transaction(force_rollback=True),
        connection.cursor(row_factory=tuple_row) as cursor,
    ):
        for setting, value in _WORDING.items():
            cursor.execute("SELECT pg_catalog.set_config(%s, %s, true)", (setting, value))
        cursor.execute(_OBJECTS)
        for name, definition in cursor:
            manifest[name] = definition or ""
    manifest[_SERVER] = str(int(manifest[_SERVER]) // 10000)
    return manifest


def compare(expected: Manifest, found: Manifest) -> list[Difference]:
    """List what differs between two manifests.

    Two servers of different major versions word some definitions differently; of those only the
    presence is compared then.
    """
    same_server = expected.get(_SERVER) == found.get(_SERVER)
    differences = []
    for name in sorted((expected.keys() | found.keys()) - {_SERVER}):
        before, after = expected.get(name), found.get(name)
        if before == after:
            continue
        problem: Problem
        if after is None:
            problem = "missing"
        elif before is None:
            problem = "added"
        elif same_server or not name.startswith(_VERSIONED):
            problem = "changed"
        else:
            continue
        differences.append(Difference(object=name, problem=problem, expected=before, found=after))
    return differences
