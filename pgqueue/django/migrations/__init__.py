"""The schema and its later versions, as migrations."""
