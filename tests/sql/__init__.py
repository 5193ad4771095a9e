"""The SQL itself, on a real server, without the Python clients and workers."""
