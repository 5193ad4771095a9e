"""Moving what the tables of the old libraries hold into the queue: `migrate-from`.

`engine` goes through the rows in batches and marks what was moved; what a row of which table
becomes is said in one module a library. `plain` reads pickles that nobody has signed, as far as
they hold nothing but data. Nothing here is used by anything but the command.
"""
