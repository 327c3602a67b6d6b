"""Shows a sweep on the terminal: a bar for the whole, a line for each trial that ended.

Everything goes to standard error; standard output belongs to `--json`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from gimbal.experiment.sweep_record import TrialRecord, TrialStatus

_MARKS = {
    TrialStatus.FINISHED: "[green]✓[/]",
    TrialStatus.STOPPED: "[yellow]■[/]",
    TrialStatus.FAILED: "[red]✗[/]",
}


class ConsoleSweepObserver:
    """A `SweepObserver` that draws on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("trials"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[words]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._total = 0
        self._ended = 0
        self._running: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def sweep_started(self, folder: str, total: int, left: int, concurrent: int) -> None:
        """Say where the sweep is kept and how much is to do."""
        done = f", {total - left} have ended before" if left < total else ""
        self._print(f"sweep {escape(folder)}: {total} trials, {concurrent} at a time{done}")
        self._total, self._ended = total, total - left
        self._task = self._bar.add_task("trials", total=total, completed=self._ended, words="")

    def trial_moved(self, trial: TrialRecord) -> None:
        """Show who runs, and say why one is delayed."""
        if trial.status is TrialStatus.DELAYED:
            self._print(f"… {escape(trial.name)}  [dim]delayed: {escape(trial.message)}")
        self._running[trial.id] = trial.name
        if not self._console.is_terminal and trial.status is TrialStatus.RUNNING:
            self._print(f"  {escape(trial.name)}  started")
        self._refresh()

    def trial_ended(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """Say how a trial ended."""
        self._running.pop(trial.id, None)
        self._ended += 1
        value = "" if trial.metric is None else f"  {trial.metric:.4g}"
        words = f"  [dim]{escape(trial.message)}[/]" if trial.message else ""
        is_best = best is not None and best.id == trial.id
        star = "  [bold]best so far[/]" if is_best else ""
        self._print(
            f"{_MARKS[trial.status]} {escape(trial.name)}{value}  {trial.seconds:.0f} s"
            f"  ({self._ended}/{self._total}){star}{words}"
        )
        self._refresh()

    def notice(self, message: str) -> None:
        """Say something worth reading."""
        self._console.print(Text("note ", style="yellow") + Text(message), soft_wrap=True)

    def _refresh(self) -> None:
        if self._task is not None:
            words = escape(" | ".join(self._running.values()))
            self._bar.update(self._task, completed=self._ended, words=words)

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
