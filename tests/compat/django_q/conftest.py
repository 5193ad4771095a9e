"""The facade in the project of these tests, and a cluster that works off its queue at once."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.databases import Database

Work = Callable[..., Any]
#: The one line that the manual's examples need.
ALLOW = [
    "math.*", "hooks.*", "tasks.*", "time.sleep", "subprocess.call", "subprocess.check_output",
    "subprocess.run", "django.core.mail.send_mail", "django.core.mail.mail_admins",
    "django.core.management.call_command:clearsessions",
]  # fmt: skip
MANUAL = str(Path(__file__).with_name("manual"))


@pytest.fixture
def work(market: Database) -> Iterator[Work]:
    """Run all tasks that are due, in this process; gives what became of each."""
    from pgqueue.compat import here

    def run(queue: str = "default", **options: Any) -> Any:
        found: list[Any] = []
        while ran := here.run([queue], **options):
            found += ran
        return found

    return run


@pytest.fixture
def manual(market: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The project, where `import django_q` works and the manual's functions may be run."""
    import django
    from django.test import override_settings

    from pgqueue.compat import alias, django_q

    backend = "django.core.mail.backends.locmem.EmailBackend"
    mailer: dict[str, Any] = {"EMAIL_BACKEND": backend}
    if django.VERSION >= (6, 1):
        mailer = {"MAILERS": {"default": {"BACKEND": backend}}}
    django_q.install_as("django_q")
    monkeypatch.syspath_prepend(MANUAL)
    with override_settings(PGQUEUE={"ALLOW": ALLOW}, **mailer):
        yield market
    alias.uninstall("django_q")
    for name in ("hooks", "tasks"):
        sys.modules.pop(name, None)
