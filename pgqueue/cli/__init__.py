"""The command line: reads what people type, calls the library, prints the answer.

One file a noun. Nothing is decided here: options are checked where Python's are, in `core`, and
what a command does is a call of `api`, `db` or `worker`. `main.py` puts the commands together.
"""
