"""No pages; only so that there is such a module."""

urlpatterns: list[object] = []
