"""`gimbal runs lr`: the learning rates a run trained at, and whether they are the schedule's."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal.cli.options import AsJson, RunsDir
from gimbal.cli.run_commands import print_json

if TYPE_CHECKING:
    from gimbal.experiment.run_folder import RunFolder
    from gimbal.training.rates import RateTrace

_PIPE_WIDTH = 1000
_SHOWN = 10


def lr(
    run: Annotated[str, typer.Argument(help="Run id (or its beginning), folder, or 'latest'.")],
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show the learning rates of a run's trainings beside those of their schedules.

    Shown are the first, the end of the warm-up, every tenth and the last; compared is every rate
    that was logged or saved, over all attempts, with the rest of the ledger of checkpoints.

    Examples:
      gimbal runs lr latest

      gimbal runs lr latest --json | jq '.stages.train.rates[-1]'

    Exit status:
      0 every rate is the schedule's and the ledger is sound, 4 something is not,
      2 no such run, 8 it has trained nothing yet
    """
    from gimbal.errors import CannotTell, GateFailed
    from gimbal.experiment.run_finding import find

    folder = find(runs_dir, run)
    traces = _traces(folder)
    if not traces:
        raise CannotTell(f"run {folder.id} has trained nothing", "name another: gimbal runs list")
    if as_json:
        stages = {name: _plain(trace, problems) for name, (trace, problems) in traces.items()}
        print_json({"run_dir": str(folder.path.absolute()), "stages": stages})
    else:
        for name, (trace, problems) in traces.items():
            _show(name, trace, problems)
    wrong = [f"{name}: {problem}" for name, (_, found) in traces.items() for problem in found]
    if wrong:
        raise GateFailed(
            f"{len(wrong)} things are wrong with the rates or the ledger: {wrong[0]}",
            "files were edited or two trainings wrote at once: train anew (gimbal run CONFIG "
            "--force train)",
        )


def _traces(folder: RunFolder) -> dict[str, tuple[RateTrace, list[str]]]:
    from gimbal.training.ledger import check
    from gimbal.training.rates import rate_trace

    found = {}
    for name in folder.state().stages:
        stage_dir = folder.stages / name
        trace = rate_trace(stage_dir)
        if trace is not None:
            found[name] = (trace, check(stage_dir))
    return found


def _plain(trace: RateTrace, problems: list[str]) -> dict[str, Any]:
    rates = [asdict(rate) | {"as_scheduled": rate.as_scheduled} for rate in trace.rates]
    return {
        "schedule": dict(trace.schedule),
        "peaks": dict(trace.peaks),
        "logged": trace.logged,
        "rates": rates,
        "problems": problems,
    }


def _show(name: str, trace: RateTrace, problems: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    shape = ", ".join(f"{key} {value}" for key, value in trace.schedule.items())
    console.print(f"{name}: {shape}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for title in ("step", "group", "rate", "by schedule", ""):
        table.add_column(title, justify="left" if title == "group" else "right")
    for rate in trace.rates:
        mark = "[green]✓[/]" if rate.as_scheduled else "[red]✗[/]"
        numbers = (f"{rate.rate:.6g}", f"{rate.scheduled:.6g}")
        table.add_row(str(rate.step), rate.group, *numbers, mark)
    console.print(table)
    for problem in problems[:_SHOWN]:
        console.print(f"✗ {problem}", style="red", markup=False, soft_wrap=True)
    if not problems:
        console.print(
            f"[green]✓[/] all {trace.logged} logged rates are the schedule's, the ledger is sound"
        )
