"""What `qmonitor`, `qinfo` and `qmemory` show in a terminal."""

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from django.db.models import F, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pgqueue.compat.django_q import VERSION
from pgqueue.compat.django_q.brokers import get_broker
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.models import Failure, Schedule, Success
from pgqueue.compat.django_q.screen import watch
from pgqueue.compat.django_q.status import Stat
from pgqueue.worker.recycle import resident

#: More rows are not counted.
_MOST: Final = 100_000
_MB: Final = 1 << 20
_DAY: Final = 86_400

_STYLES: Final = {"STARTING": "yellow", "WORKING": "green", "STOPPING": "yellow", "STOPPED": "red"}


def monitor(run_once: bool = False, broker: Any = None) -> list[Stat] | None:
    """Show the clusters until somebody presses q.

    Args:
        run_once: show them once.
        broker: whose queue is counted; None for that of Q_CLUSTER.

    Returns:
        With `run_once`, the clusters.
    """
    broker = broker or get_broker()
    broker.ping()
    return _show(run_once, lambda stats: Group(_clusters(stats), _totals(broker)))


def memory(run_once: bool = False, workers: bool = False, broker: Any = None) -> list[Stat] | None:
    """Show what memory the clusters of this machine use until somebody presses q.

    Args:
        run_once: show it once.
        workers: show each process, too.
        broker: not needed.

    Returns:
        With `run_once`, the clusters.
    """
    least = _Least()

    def picture(stats: list[Stat]) -> RenderableType:
        parts: list[RenderableType] = [_memory(stats)]
        if workers:
            parts.append(_processes(stats))
        return Group(*parts, least.line())

    return _show(run_once, picture)


def info(broker: Any = None) -> bool:
    """Print how much there is, and how much was done lately."""
    broker = broker or get_broker()
    broker.ping()
    stats = Stat.get_all()
    rate, per, seconds = _lately()
    table = Table(
        title=_("-- %(prefix)s %(version)s on %(info)s --")
        % {
            "prefix": str(Conf.PREFIX).capitalize(),
            "version": ".".join(map(str, VERSION)),
            "info": broker.info(),
        },
        show_header=False,
        box=None,
        expand=True,
    )
    for _unused in range(3):
        table.add_column(style="cyan")
        table.add_column()
    facts = [
        (_("Clusters"), str(len(stats))),
        (_("Workers"), str(sum(len(stat.workers) for stat in stats))),
        (_("Restarts"), str(sum(stat.reincarnations for stat in stats))),
        (_("Queued"), str(broker.queue_size())),
        (_("Successes"), _count(Success)),
        (_("Failures"), _count(Failure)),
        (_("Schedules"), _count(Schedule)),
        (_("Tasks/%(per)s") % {"per": per}, f"{rate:.2f}"),
        (_("Avg time"), f"{seconds:.4f}"),
    ]
    for at in range(0, len(facts), 3):
        table.add_row(*(word for fact in facts[at : at + 3] for word in fact))
    Console().print(table)
    return True


def get_ids() -> bool:
    """Print the ids of the clusters that run."""
    console = Console()
    stats = Stat.get_all()
    for stat in stats:
        console.print(str(stat.cluster_id), highlight=False)
    if not stats:
        console.print(_("No clusters appear to be running."))
    return True


def get_process_mb(pid: int) -> float | str:
    """Give the megabytes that a process of this machine uses, or words where there is none."""
    size = resident(pid) if pid else None
    return "NO_PROCESS_FOUND" if size is None else round(size / _MB, 2)


def _show(run_once: bool, picture: Callable[[list[Stat]], RenderableType]) -> list[Stat] | None:
    if not run_once:
        watch(lambda: Group(picture(Stat.get_all()), Text(_("[Press q to quit]"), "dim")))
        return None
    stats = Stat.get_all()
    Console().print(picture(stats))
    return stats


def _table(*headings: str) -> Table:
    table = Table(header_style="black on green", expand=True, box=None)
    for heading in headings:
        table.add_column(heading, justify="center", overflow="fold")
    return table


def _clusters(stats: list[Stat]) -> Table:
    table = _table(_("Host"), _("Id"), _("State"), _("Pool"), _("TQ"), _("RQ"), _("RC"), _("Up"))
    styles = {str(getattr(Conf, name)): style for name, style in _STYLES.items()}
    for stat in stats:
        word = str(stat.status)
        seconds = int(stat.uptime())
        table.add_row(
            stat.host,
            str(stat.cluster_id)[-8:],
            Text(word, styles.get(word, "")),
            str(len(stat.workers)),
            Text(str(stat.task_q_size), "cyan" if stat.task_q_size else ""),
            str(stat.done_q_size),
            str(stat.reincarnations),
            f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}",
        )
    return table


def _totals(broker: Any) -> Table:
    waiting = str(broker.queue_size())
    locked = broker.lock_size()
    table = Table(show_header=False, expand=True, box=None, style="black on cyan")
    table.add_row(
        broker.info(),
        _("Queued"),
        f"{waiting}({locked})" if locked else waiting,
        _("Success"),
        _count(Success),
        _("Failures"),
        _count(Failure),
    )
    return table


def _memory(stats: list[Stat]) -> Table:
    table = _table(
        _("Host"), _("Id"), _("Available (%)"), _("Available (MB)"), _("Total (MB)"),
        _("Sentinel (MB)"), _("Workers (MB)"),
    )  # fmt: skip
    available, total = machine()
    for stat in stats:
        sizes = [get_process_mb(pid) for pid in stat.workers]
        together = round(sum(size for size in sizes if isinstance(size, float)), 2)
        table.add_row(
            stat.host,
            str(stat.cluster_id)[-8:],
            f"{available * 100 / total:.2f}" if total else "",
            f"{available / _MB:.2f}",
            f"{total / _MB:.2f}",
            str(get_process_mb(stat.sentinel)),
            str(together or "NO_PROCESSES_FOUND"),
        )
    return table


def _processes(stats: list[Stat]) -> Table:
    most = max((len(stat.workers) for stat in stats), default=0)
    headings = [_("Worker #%(number)d (MB)") % {"number": at + 1} for at in range(most)]
    table = _table(_("Id"), *headings)
    for stat in stats:
        table.add_row(str(stat.cluster_id)[-8:], *(str(get_process_mb(p)) for p in stat.workers))
    return table


class _Least:
    """The least memory that was free since the start."""

    def __init__(self) -> None:
        self._percent = 100.0
        self._at = timezone.now()

    def line(self) -> Text:
        """Look, and write it down."""
        available, total = machine()
        percent = available * 100 / total if total else 100.0
        if percent < self._percent:
            self._percent, self._at = percent, timezone.now()
        words = {"percent": f"{self._percent:.2f}", "at": f"{self._at:%Y-%m-%d %H:%M:%S %Z}"}
        return Text(_("Available lowest (%%): %(percent)s (%(at)s)") % words)


def machine() -> tuple[int, int]:
    """Give the bytes of memory that are free and that there are; zeros where nobody tells."""
    sizes = {}
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                name, _colon, rest = line.partition(":")
                sizes[name] = int(rest.split()[0]) << 10
    except (OSError, ValueError, IndexError):
        return 0, 0
    return sizes.get("MemAvailable", 0), sizes.get("MemTotal", 0)


def _count(model: Any) -> str:
    found: int = model.objects.order_by()[: _MOST + 1].count()
    return f"{_MOST:,}+" if found > _MOST else str(found)


def _lately() -> tuple[float, str, float]:
    """Give how many tasks succeeded a day or shorter time, which, and how long they took."""
    since = timezone.now() - dt.timedelta(days=1)
    last = Success.objects.filter(stopped__gte=since).order_by()
    count = last.count()
    if not count:
        return 0.0, _("day"), 0.0
    taken = last.aggregate(taken=Sum(F("stopped") - F("started")))["taken"]
    average = taken.total_seconds() / count
    for length, name in ((_DAY, _("second")), (_DAY // 60, _("minute")), (24, _("hour"))):
        if count > length:
            return count / length, name, average
    return float(count), _("day"), average
