"""What the worker does around each job in a Django project."""


def install() -> None:
    """Hand it to the worker."""
