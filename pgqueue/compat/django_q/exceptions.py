"""What is raised in a task that takes too long."""

from pgqueue.core.errors import JobTimeout

#: What the worker raises in a task that has run longer than its timeout. It is an `Exception`, so a
#: task that catches every `Exception` catches it too; one that then goes on is killed.
TimeoutException = JobTimeout

__all__ = ["TimeoutException"]
