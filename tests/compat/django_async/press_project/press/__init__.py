"""A newspaper and those who read it."""
