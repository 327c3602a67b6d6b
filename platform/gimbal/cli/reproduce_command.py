"""`gimbal reproduce`: run a stored run again, with its own code."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal.cli.options import AsJson, RunsDir
from gimbal.cli.run_commands import interruptible, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from gimbal.reproduction.numbers import NumberDifference
    from gimbal.reproduction.reproducing import Reproduction
    from gimbal.reproduction.results import Comparison

_SHOWN = 40
_LOG_WIDTH = 120


def reproduce(
    run: Annotated[str, typer.Argument(help="Run id (or its beginning), folder, or 'latest'.")],
    check: Annotated[
        bool, typer.Option("--check", help="Compare every number with the run's.")
    ] = False,
    rtol: Annotated[
        float, typer.Option("--rtol", min=0.0, help="Relative tolerance of --check.")
    ] = 1e-6,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the worktree and, after --check, the new run.")
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Run a stored run again: its commit in a git worktree, its config, its data.

    Nothing is taken from finished stages. The new run is in RUNS/.reproduced/; with --check it is
    removed again if every number agrees. Timings, rates, memory and what says how work was spread
    are not compared (docs/reproducing.md has the rule). Interrupted, the same command continues.

    Examples:
      gimbal reproduce latest --check

      gimbal reproduce 20261121-0130 --check --rtol 1e-4 --json | jq .differences

    Exit status:
      0 done, and with --check every number agrees; 7 numbers or outside files differ,
      8 records or code are missing (no commit, unfinished run, damaged files), 2 no such run,
      3 the new run failed, 4 it missed a gate, 130 interrupted
    """
    from rich.console import Console
    from rich.text import Text

    from gimbal.errors import Drift
    from gimbal.experiment.run_finding import find
    from gimbal.reproduction.reproducing import ReproduceOptions
    from gimbal.reproduction.reproducing import reproduce as run_again

    console = Console(stderr=True, highlight=False)

    def say(words: str) -> None:
        console.print(Text("note ", style="yellow") + Text(words), soft_wrap=True)

    folder = find(runs_dir, run)
    options = ReproduceOptions(check=check, rtol=rtol, keep=keep)
    with interruptible():
        _closed_terminal_as_interrupt()
        result = run_again(folder, options, say)
    _show(result, _console(stderr=as_json))
    if as_json:
        print_json(_as_json(result, str(folder.path.absolute()), rtol))
    if not result.matches and result.comparison is not None:
        raise Drift(
            f"the run did not come out again: {len(result.comparison.differences)} differences",
            f"look at both: {folder.path} and {result.run_dir}",
        )


def _closed_terminal_as_interrupt() -> None:
    """Treat a closed terminal like Ctrl-C, unless `nohup` asked to go on."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if console.is_terminal:
        return console
    return Console(stderr=stderr, highlight=False, width=_LOG_WIDTH)


def _show(result: Reproduction, console: Console) -> None:
    for words in result.parts:
        console.print(f"fingerprint of {words}", markup=False, soft_wrap=True)
    if result.comparison is not None:
        _show_comparison(result.comparison, console)
    if not result.removed:
        console.print(f"run   {result.run_dir}", markup=False, soft_wrap=True)
    if result.code is not None:
        console.print(f"code  {result.code}", markup=False, soft_wrap=True)
        remove = f"git -C {result.code} worktree remove --force {result.code}"
        console.print(f"      remove it with: {remove}", markup=False, soft_wrap=True)


def _show_comparison(comparison: Comparison, console: Console) -> None:
    compared = (
        f"{comparison.numbers} numbers and {comparison.rows} hashes of rows in "
        f"{comparison.stages} stages compared"
    )
    if not comparison.differences:
        console.print(f"[green]✓[/] {compared}: all agree", soft_wrap=True)
        return
    console.print(_table(comparison.differences))
    more = len(comparison.differences) - _SHOWN
    if more > 0:
        console.print(f"… and {more} more (--json lists all)")
    console.print(f"[red]✗[/] {compared}: {len(comparison.differences)} differ", soft_wrap=True)


def _table(differences: tuple[NumberDifference, ...]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("stage", "number", "recorded", "reproduced", "relative"):
        table.add_column(
            name, overflow="fold", justify="left" if name in "stage number" else "right"
        )
    for difference in differences[:_SHOWN]:
        relative = difference.relative
        table.add_row(
            difference.stage,
            difference.name,
            str(difference.recorded),
            str(difference.found),
            "" if relative is None else f"{relative:.1e}",
        )
    return table


def _as_json(result: Reproduction, run_dir: str, rtol: float) -> dict[str, Any]:
    comparison = result.comparison
    report: dict[str, Any] = {
        "run_dir": run_dir,
        "reproduced": None if result.removed else str(result.run_dir),
        "code": str(result.code) if result.code else None,
        "libraries": list(result.libraries),
        "parts": list(result.parts),
        "checked": comparison is not None,
    }
    if comparison is None:
        return report
    return report | {
        "matches": result.matches,
        "rtol": rtol,
        "stages": comparison.stages,
        "numbers": comparison.numbers,
        "rows": comparison.rows,
        "differences": [
            {
                "stage": difference.stage,
                "number": difference.name,
                "recorded": difference.recorded,
                "reproduced": difference.found,
                "relative": difference.relative,
            }
            for difference in comparison.differences
        ],
    }
