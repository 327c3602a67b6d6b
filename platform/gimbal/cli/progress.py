"""Shows a run on the terminal: one progress bar a stage, plain lines where there is no terminal.

Everything goes to standard error; standard output belongs to `--json`.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from gimbal.experiment.stage import GateResult

_PLAIN_EVERY_S = 15.0


class ConsoleObserver:
    """An `Observer` that draws on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.fields[stage]:<10}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[words]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line_s = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def run_started(self, run_dir: str, stages: tuple[str, ...], resumed: bool) -> None:
        """Say where the run is kept."""
        verb = "continuing" if resumed else "run"
        self._print(f"{verb} {escape(run_dir)}: {' → '.join(stages)}")

    def stage_skipped(self, name: str, reason: str) -> None:
        """Say that a finished result is used."""
        self._print(f"[green]✓[/] {name:<10} [dim]{escape(reason)}")

    def stage_waiting(self, name: str, holder: str) -> None:
        """Say who is building the stage."""
        self._print(f"… {name:<10} is being built by {escape(holder)}; waiting")

    def stage_started(self, name: str, reason: str) -> None:
        """Open the stage's bar."""
        if reason:
            self._print(f"  {name:<10} [dim]{escape(reason)}")
        self._tasks[name] = self._bars.add_task(name, stage=name, words="", total=None)

    def stage_progress(self, name: str, done: int, total: int, words: str) -> None:
        """Move the stage's bar."""
        if self._console.is_terminal:
            self._bars.update(self._tasks[name], completed=done, total=total, words=escape(words))
        elif time.monotonic() - self._last_line_s > _PLAIN_EVERY_S:
            self._last_line_s = time.monotonic()
            self._print(f"  {name:<10} {done}/{total} {escape(words)}")

    def stage_finished(self, name: str, seconds: float) -> None:
        """Close the stage's bar."""
        if not self._console.is_terminal:
            self._print(f"✓ {name:<10} {seconds:.1f} s")
            return
        task = self._bars.tasks[list(self._tasks).index(name)]
        total = task.total or 1
        self._bars.update(self._tasks[name], completed=total, total=total)

    def gate_checked(self, stage: str, result: GateResult) -> None:
        """Say what a gate found."""
        mark = "[green]✓[/]" if result.passed else "[red]✗[/]"
        self._print(f"{mark} gate {stage}/{result.name}: {escape(result.message)}")

    def notice(self, message: str) -> None:
        """Say something worth reading."""
        from rich.text import Text

        self._console.print(Text("note ", style="yellow") + Text(message), soft_wrap=True)

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
