"""Words and rules of pgqueue, pure: opens nothing, starts nothing, knows no database.

States, jobs, options, the codec, durations, backoff, outcomes and errors live here, one idea a
file. Nothing here may import psycopg, Django, threads, sockets or any other floor of pgqueue.
"""
