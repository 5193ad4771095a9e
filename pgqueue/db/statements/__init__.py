"""Every SQL call of pgqueue as a value; see ``base``.

Nothing here opens a connection, imports a driver or decides about jobs.
"""
