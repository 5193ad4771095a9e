"""The module `tasks` of the manual's examples, with a search index in the place of Haystack's."""

from typing import Any

from django.contrib.auth.models import User
from django.core import management
from django.core.mail import send_mass_mail
from django_q.tasks import async_task

#: What was indexed: the class and the row.
indexed: list[tuple[Any, Any]] = []


def clear_sessions_command() -> Any:
    """Wrap `manage.py clearsessions`."""
    return management.call_command("clearsessions")


def inform_everyone(user: User) -> Any:
    """Tell all others of a new address, by one task."""
    mails = []
    for u in User.objects.exclude(pk=user.pk):
        msg = f"Dear {u.username}, {user.username} has a new email address: {user.email}"
        mails.append(("New email", msg, "from@example.com", [u.email]))
    return send_mass_mail(mails)


def inform_everyone_async(user: User) -> None:
    """Tell all others of a new address, by a task each."""
    for u in User.objects.exclude(pk=user.pk):
        msg = f"Dear {u.username}, {user.username} has a new email address: {user.email}"
        async_task("django.core.mail.send_mail", "New email", msg, "from@example.com", [u.email])


def create_html_report(user: User) -> str:
    """Make a report."""
    if user.username == "nobody":
        raise ValueError("nobody has no report")
    return "We had a great quarter!"


def email_report(task: Any) -> None:
    """Send a report, or tell the admins what went wrong."""
    if task.success:
        async_task(
            "django.core.mail.send_mail",
            "The report you requested",
            task.result,
            "from@example.com",
            [task.args[0].email],
        )
    else:
        async_task("django.core.mail.mail_admins", "Report generation failed", task.result)


def index_object(sender: Any, instance: Any) -> None:
    """Index a row."""
    indexed.append((sender, instance))


def inspect(*args: Any, **kwargs: Any) -> Any:
    """Give what came."""
    return [list(args), kwargs]
