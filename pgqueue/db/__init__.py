"""Everything that speaks SQL, and the only floor that imports psycopg.

What lives here: the versions of the schema and their upgrader, every statement as a value, the
connections that execute them, and the private PostgreSQL behind `embedded:` DSNs.
What may not: decisions about jobs (those are in the SQL itself or in `core`), user code, printing.
"""
