"""The app."""

from django.apps import AppConfig

from tests.compat.project.market import serving


class MarketConfig(AppConfig):
    """The app of the market."""

    name = "tests.compat.project.market"
    label = "market"

    def ready(self) -> None:
        """Serve the tasks of a facade of its own."""
        serving.install()
