"""System checks: what is wrong with the settings, or with the schema in the database."""


def register() -> None:
    """Register them."""
