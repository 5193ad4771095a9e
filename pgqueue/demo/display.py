"""Show how the demonstration goes: live, or as lines where that cannot be; and the final table.

Nothing is measured or decided here.
"""

import time
from dataclasses import dataclass
from typing import Final, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pgqueue.demo.watch import Figures, Sample, WorkerLine

#: Seconds between two lines where there is no terminal.
_LINE_EVERY: Final = 2.0
_NONE: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Hold what is shown at one moment.

    Attributes:
        stage: what is going on, in words.
        to_do: how many jobs there will be in all.
        committed: transactions so far.
        rolled_back: likewise.
        sample: how things stand.
    """

    stage: str
    to_do: int
    committed: int
    rolled_back: int
    sample: Sample


class Display:
    """Show what happens.

    Args:
        console: where to; a live display if that is a terminal, otherwise lines now and then.
        quiet: show nothing unless it is a terminal.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._quiet = quiet and not self._is_live
        # Drawn by us, between two transactions: a thread that draws would disturb what is measured.
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="ellipsis")
        self._begun = self._line_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def say(self, text: str) -> None:
        """Say a sentence; it stays above the live display."""
        if not self._quiet:
            seconds = time.monotonic() - self._begun
            self._console.print(
                f"[dim]{seconds:5.1f} s[/]  {escape(text)}", highlight=False, soft_wrap=True
            )

    def show(self, view: View) -> None:
        """Show how things stand."""
        if self._is_live:
            if not self._live.is_started:
                self._live.start()
            self._live.update(_frame(view), refresh=True)
        elif time.monotonic() - self._line_at >= _LINE_EVERY:
            self._line_at = time.monotonic()
            self.say(_line(view))

    def stop(self) -> None:
        """Leave the last picture as it is."""
        if self._live.is_started:
            self._live.stop()


def _line(view: View) -> str:
    sample = view.sample
    held = sum(worker.held for worker in sample.workers)
    return (
        f"{view.stage}: {sample.found:,} of {view.to_do:,} done, "
        f"{sample.ready:,} waiting, {held:,} held, {sample.rate:,.0f} jobs/s"
    )


def _frame(view: View) -> RenderableType:
    sample = view.sample
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True)
    bar.add_row(
        ProgressBar(total=view.to_do, completed=sample.found),
        f"{sample.found:,} of {view.to_do:,} done",
    )
    start = _NONE if sample.start_ms is None else f"{sample.start_ms:,.1f} ms"
    facts = Text.assemble(
        ("committed ", "dim"), f"{view.committed:,}",
        ("  rolled back ", "dim"), f"{view.rolled_back:,}",
        ("  waiting ", "dim"), f"{sample.ready:,}",
        ("  jobs/s ", "dim"), f"{sample.rate:,.0f}",
        ("  start after ", "dim"), start,
    )  # fmt: skip
    return Group(
        Text(view.stage, style="bold", no_wrap=True, overflow="ellipsis"),
        bar,
        facts,
        *(_worker(worker) for worker in sample.workers),
    )


def _worker(worker: WorkerLine) -> Text:
    state = ("killed ", "bold red") if worker.killed else ("working", "green")
    return Text.assemble(
        f"worker {worker.number}", ("  pid ", "dim"), f"{worker.pid}  ", state,
        ("  done ", "dim"), f"{worker.done:,}", ("  held ", "dim"), f"{worker.held:,}",
        no_wrap=True, overflow="ellipsis",
    )  # fmt: skip


def final_table(figures: Figures, *, held_by_killed: int, singles: int) -> Table:
    """Make the table at the end.

    Args:
        figures: what was measured.
        held_by_killed: how many jobs the killed worker held.
        singles: how many jobs were enqueued one at a time.
    """
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="bold")
    table.add_column(style="dim")
    table.add_row(
        "committed", f"{figures.committed:,}", "transactions that wrote a document and its job"
    )
    table.add_row("rolled back", f"{figures.rolled_back:,}", "likewise, on purpose")
    table.add_row("done", f"{figures.done:,}", "succeeded, and its finding written back")
    table.add_row("lost", _must_be_zero(figures.lost), "committed and not done: must be 0")
    table.add_row(
        "phantom", _must_be_zero(figures.phantom), "a job that nobody committed: must be 0"
    )
    table.add_row(
        "kills",
        f"{figures.kills:,}",
        "a worker ended half-way with SIGKILL" if figures.kills else "too few files for that",
    )
    table.add_row(
        "re-run after the kill",
        f"{figures.rerun:,}",
        f"ran twice, of {jobs_in_words(held_by_killed)} that the killed worker held",
    )
    table.add_row(
        "start latency p50",
        _milliseconds(figures.start_ms_p50),
        f"commit to first line of the task, idle workers: {jobs_in_words(singles)}",
    )
    table.add_row(
        "start latency p99",
        _milliseconds(figures.start_ms_p99),
        "the slowest of them but one in a hundred",
    )
    table.add_row(
        "jobs/s",
        _NONE if figures.jobs_per_s is None else f"{figures.jobs_per_s:,.0f}",
        "at full speed: a transaction each to enqueue it, a file read, hashed, written back",
    )
    return table


def jobs_in_words(count: int) -> str:
    """Write a number of jobs."""
    return "1 job" if count == 1 else f"{count:,} jobs"


def _must_be_zero(count: int) -> str:
    return "[green]0[/]" if not count else f"[bold red]{count:,}[/]"


def _milliseconds(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.1f} ms"
