"""The building code: which folder may import which, how files look, what is public."""
