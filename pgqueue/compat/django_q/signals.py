"""The signals; the sender is always the text `django_q`.

Receivers of all but `pre_enqueue` run in the process that runs the task.
"""

from django.dispatch import Signal

#: A task is about to be enqueued: `task` is what is known of it, a dictionary to change.
pre_enqueue = Signal()
#: A process is ready to run tasks: `proc_name`.
post_spawn = Signal()
#: A task is about to run: `func`, `task`.
pre_execute = Signal()
#: A task has run, in the process that ran it: `func`, `task`.
post_execute_in_worker = Signal()
#: What came out of a task is known: `task`, with `result`, `success` and `stopped`.
post_execute = Signal()
