"""The app."""

from django.apps import AppConfig


class MarketConfig(AppConfig):
    """The app of the market."""

    name = "tests.compat.project.market"
    label = "market"
