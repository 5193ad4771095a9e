"""The running worker: a supervisor that never runs user code, and the children that do.

``supervisor`` puts the parts together; ``child`` is what runs in each child process.
"""
