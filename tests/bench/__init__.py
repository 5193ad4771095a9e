"""Benchmarks: ratios measured in one run, on a private server with durable settings.

``python -m tests.bench drain`` and ``python -m tests.bench latency``; not part of the test suite.
"""
