"""What JobTimeout does to Django's connections when it comes in the middle of a statement."""

from django.db import connections


def hang_up() -> None:
    """Close connections that a statement may still be under way on: it was torn out of it.

    They open anew when they are needed. Those in a transaction are left to whoever ends that.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
