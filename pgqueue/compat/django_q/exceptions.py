"""What ends a task that takes too long."""


class TimeoutException(SystemExit):
    """A task has run longer than its timeout; raised in the task itself, which it ends."""
