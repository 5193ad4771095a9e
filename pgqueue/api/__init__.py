"""What applications call: the app, tasks, handles of jobs, the registry.

Nothing here speaks SQL (``db``), validates options (``core.options``) or runs a task (``worker``).
"""
