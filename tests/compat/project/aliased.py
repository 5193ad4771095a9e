"""The same project, with the old names of the facades in INSTALLED_APPS."""

from typing import Any

from pgqueue.compat.alias import FACADES, install
from tests.compat.project import settings as _settings

for _name in filter(str.isupper, dir(_settings)):
    globals()[_name] = getattr(_settings, _name)
_old = {package: name for name, package in FACADES.items()}
INSTALLED_APPS: list[Any] = [_old.get(name, name) for name in _settings.INSTALLED_APPS]
for _package in set(_old) & set(_settings.INSTALLED_APPS):
    install(_package, _old[_package])
