"""A private PostgreSQL, for `embedded:` DSNs, the demonstration and the tests.

`server.py` starts, joins and stops one; `installation.py` finds PostgreSQL's programs and an
account that may run them; `cluster.py` makes and checks data directories; `keeper.py` is the little
process that outlives us to clean up; `dsn.py` turns an `embedded:` DSN into a real one.
"""

from pgqueue.db.embedded.dsn import OpenedDsn, is_embedded, open_dsn, resolve_dsn
from pgqueue.db.embedded.server import EmbeddedServer, ShutdownMode

__all__ = [
    "EmbeddedServer",
    "OpenedDsn",
    "ShutdownMode",
    "is_embedded",
    "open_dsn",
    "resolve_dsn",
]
