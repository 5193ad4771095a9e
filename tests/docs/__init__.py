"""The documentation is held true: what it names exists, what it shows runs."""
