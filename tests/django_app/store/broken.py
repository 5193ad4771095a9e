"""Tasks of a project that cannot be imported."""

raise RuntimeError("not today")
