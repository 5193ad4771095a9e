"""The demonstration: `python -m pgqueue demo`.

It plays an application: `tasks.py` is what the workers import, and nothing else of this folder;
`work.py` finds the files, and writes a row and a job for each in one transaction; `workers.py`
starts and kills the workers; `watch.py` looks on and judges; `display.py` shows; `command.py` puts
the parts together.
"""
