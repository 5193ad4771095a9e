"""Drop-in replacements for older job queues of Django, each an app over the queue of pgqueue.

`django_q`, `django_future` and `django_async` know the names, units and defaults of the old
libraries, and nothing of how jobs are stored or run. What they share is here: which functions a row
may name (`paths`), values that JSON cannot express (`pickles`), how a worker finds their tasks
(`serving`), running due jobs in this process (`here`), the old name of a package (`alias`), and
moving what is in the old tables (`migrating`).
"""
