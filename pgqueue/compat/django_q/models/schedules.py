"""Schedules: what is to run when, and when next."""

import datetime as dt
from keyword import iskeyword
from typing import Any, ClassVar, Final

from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from pgqueue.compat import paths
from pgqueue.compat.django_q import literals
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.managers import QManager, QModel
from pgqueue.compat.django_q.models.tasks import Task
from pgqueue.compat.django_q.utils import add_months, add_years, localtime

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def validate_cron(value: str) -> None:
    """Pass where a text is a cron expression.

    Raises:
        ValidationError: it is none.
    """
    try:
        _cron(value, timezone.now())
    except CronSimError as error:
        raise ValidationError(
            _("%(value)s is no cron expression: %(why)s"),
            code="cron",
            params={"value": value, "why": str(error)},
        ) from None


def validate_kwarg(value: str) -> bool:
    """Pass where a text can be the name of a keyword argument; gives that it is.

    Raises:
        ValidationError: it cannot.
    """
    if not value.isidentifier() or iskeyword(value):
        raise ValidationError(
            _("%(value)s cannot be the name of an argument"), code="kwarg", params={"value": value}
        )
    return True


def _cron(text: str, after: dt.datetime) -> CronSim:
    """Read a cron expression; gives its times after a moment.

    Raises:
        CronSimError: it is none.
    """
    fields = _MACROS.get(text.strip().lower(), text).split()
    if len(fields) == 6:
        # Seconds stood last in the old library, and stand first in this one.
        fields = [fields[-1], *fields[:-1]]
    return CronSim(" ".join(fields), after)


def _home() -> str:
    return str(Conf.PREFIX)


class Schedule(QModel):
    """When a function runs, again and again or once.

    A row whose `next_run` has come makes a task and moves on; changing a row is enough to change
    what it does. `runs` counts its tasks; `error` says why it could not make one, which is tried
    again every minute, and at once when the row is changed.
    """

    ONCE = "O"
    MINUTES = "I"
    HOURLY = "H"
    DAILY = "D"
    WEEKLY = "W"
    BIWEEKLY = "BW"
    MONTHLY = "M"
    BIMONTHLY = "BM"
    QUARTERLY = "Q"
    YEARLY = "Y"
    CRON = "C"
    TYPE = (
        (ONCE, _("Once")),
        (MINUTES, _("Minutes")),
        (HOURLY, _("Hourly")),
        (DAILY, _("Daily")),
        (WEEKLY, _("Weekly")),
        (BIWEEKLY, _("Biweekly")),
        (MONTHLY, _("Monthly")),
        (BIMONTHLY, _("Bimonthly")),
        (QUARTERLY, _("Quarterly")),
        (YEARLY, _("Yearly")),
        (CRON, _("Cron")),
    )
    _DAYS: ClassVar = {DAILY: 1, WEEKLY: 7, BIWEEKLY: 14}
    _MONTHS: ClassVar = {MONTHLY: 1, BIMONTHLY: 2, QUARTERLY: 3}

    id = models.BigAutoField(_("ID"), primary_key=True)
    name = models.CharField(
        _("Name"), max_length=100, null=True, blank=True, help_text=_("For people.")
    )
    func = models.CharField(_("Function"), max_length=256, help_text=_("As shop.tasks.send."))
    hook = models.CharField(
        _("Hook"),
        max_length=256,
        null=True,
        blank=True,
        help_text=_("As shop.tasks.sent; called with the finished task."),
    )
    args = models.TextField(_("Arguments"), null=True, blank=True, help_text=_("As 1, 2, 'John'."))
    kwargs = models.TextField(
        _("Keyword arguments"), null=True, blank=True, help_text=_("As x=1, y=2, name='John'.")
    )
    schedule_type = models.CharField(
        _("Schedule Type"), max_length=2, choices=TYPE, default=ONCE, help_text=_("How often.")
    )
    minutes = models.PositiveSmallIntegerField(
        _("Minutes"), null=True, blank=True, help_text=_("Of the type Minutes.")
    )
    repeats = models.IntegerField(
        _("Repeats"), default=-1, help_text=_("So many times; -1 for ever, 0 never.")
    )
    next_run = models.DateTimeField(
        _("Next Run"), default=timezone.now, null=True, help_text=_("When it runs next.")
    )
    cron = models.CharField(
        _("Cron"),
        max_length=100,
        null=True,
        blank=True,
        validators=[validate_cron],
        help_text=_("Expression of the type Cron."),
    )
    task = models.CharField(_("Last task id"), max_length=100, null=True, editable=False)
    cluster = models.CharField(
        _("Cluster"),
        max_length=100,
        default=None,
        null=True,
        blank=True,
        help_text=_("Name of the cluster that runs it."),
    )
    intended_date_kwarg = models.CharField(
        _("Intended date kwarg"),
        max_length=100,
        null=True,
        blank=True,
        validators=[validate_kwarg],
        help_text=_("Keyword argument that gets the planned date."),
    )
    home = models.TextField(_("Home cluster"), default=_home, editable=False)
    runs = models.IntegerField(_("Runs"), default=0, editable=False)
    error = models.TextField(_("Error"), null=True, blank=True, editable=False)

    objects = QManager()

    class Meta:
        app_label = "django_q"
        managed = False
        db_table = '"pgqueue"."django_q_schedules"'
        verbose_name = _("Scheduled task")
        verbose_name_plural = _("Scheduled tasks")
        ordering: ClassVar = ["next_run"]

    def __str__(self) -> str:
        return str(self.func)

    def clean(self) -> None:
        """Pass where it could run.

        Raises:
            ValidationError: it is of type Cron without an expression, its arguments cannot be read,
                or its function or hook may not be run by a job.
        """
        super().clean()
        wrong: dict[str, Any] = {}
        if self.schedule_type == self.CRON and not self.cron:
            wrong["cron"] = _("A schedule of the type Cron needs an expression.")
        args: tuple[Any, ...] = ()
        try:
            args = literals.positional(self.args)
        except ValueError as error:
            wrong["args"] = str(error)
        try:
            literals.named(self.kwargs)
        except ValueError as error:
            wrong["kwargs"] = str(error)
        for name, path, given in (("func", self.func, args), ("hook", self.hook, ())):
            try:
                if path:
                    paths.check(path, given)
            except paths.PathNotAllowedError as error:
                wrong[name] = str(error)
        if wrong:
            raise ValidationError(wrong)

    def save(self, *args: Any, **options: Any) -> None:
        """Save it; a new one of type Cron runs first when its expression says."""
        if self.pk is None and self.schedule_type == self.CRON:
            self.next_run = self.calculate_next_run()
        super().save(*args, **options)

    def calculate_next_run(self, next_run: dt.datetime | None = None) -> dt.datetime:
        """Tell when it runs after a certain run.

        By the day and longer the clock on the wall stays, in `Conf.TIME_ZONE`; a month that was too
        short shortens those that follow.

        Args:
            next_run: that run; None for the one that is planned. A cron expression counts from now.

        Raises:
            ValueError: it has none, as one of type Once.
        """
        if self.schedule_type == self.CRON:
            return self.cron_after(localtime())
        planned: dt.datetime = next_run or self.next_run
        if self.schedule_type == self.MINUTES:
            return planned + dt.timedelta(minutes=self.minutes or 1)
        if self.schedule_type == self.HOURLY:
            return planned + dt.timedelta(hours=1)
        if self.schedule_type == self.YEARLY:
            return planned + dt.timedelta(days=(add_years(planned, 1) - planned).days)
        if self.schedule_type in self._MONTHS:
            later = add_months(planned, self._MONTHS[self.schedule_type])
            step = dt.timedelta(days=(later - planned).days)
        elif self.schedule_type in self._DAYS:
            step = dt.timedelta(days=self._DAYS[self.schedule_type])
        else:
            raise ValueError(f"a schedule of type {self.schedule_type!r} has no next run")
        # What the local clock has gained or lost meanwhile is taken back.
        moved = localtime(planned + step).replace(tzinfo=None)
        return planned + step - (moved - localtime(planned).replace(tzinfo=None) - step)

    def cron_after(self, moment: dt.datetime) -> dt.datetime:
        """Tell when its cron expression says next.

        Args:
            moment: after which, in the time zone that the expression is meant in.
        """
        found: dt.datetime = next(_cron(str(self.cron), moment))
        return found

    def success(self) -> bool | None:
        """Tell whether its last task has succeeded; None while that is not known."""
        task = self._last()
        return None if task is None else bool(task.success)

    def last_run(self) -> str | None:
        """Give a link to its last task in the admin; None while there is none."""
        task = self._last()
        if task is None:
            return None
        page = "success" if task.success else "failure"
        url = reverse(f"admin:django_q_{page}_change", args=(task.id,))
        return str(format_html('<a href="{}">[{}]</a>', url, task.name))

    def _last(self) -> Task | None:
        found: Task | None = Task.objects.filter(id=self.task).first() if self.task else None
        return found

    success.boolean = True  # type: ignore[attr-defined]
    success.short_description = _("success")  # type: ignore[attr-defined]
    last_run.allow_tags = True  # type: ignore[attr-defined]
    last_run.short_description = _("last_run")  # type: ignore[attr-defined]
