"""Import this as a worker's application: the project, with the databases of who started it.

They are those of the settings, unless a test has put others in their place.
"""

import json
import os

from django.db import connections

from pgqueue.compat.django_q.launching import DATABASES_VARIABLE
from pgqueue.django import project

__all__ = ["project"]

for _alias, _where in json.loads(os.environ.get(DATABASES_VARIABLE, "{}")).items():
    if _alias in connections:
        connections[_alias].settings_dict.update(_where)
