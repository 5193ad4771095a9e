"""As `django-admin startproject` writes it."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.compat.project.settings")
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
