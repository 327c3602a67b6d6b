"""`gimbal run`: run an experiment, or continue one that was killed."""

from __future__ import annotations

import contextlib
import json
import math
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal.cli.border import Interrupted, exit_code

_LOG_WIDTH = 120
"""Columns of a table where there is no terminal to ask."""

if TYPE_CHECKING:
    from gimbal.pipeline.events import Observer


def run(
    config: Annotated[Path, typer.Argument(help="The experiment's YAML file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings to change, such as train.steps=2000.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option("--stage", help="Run only this stage and what it needs.")
    ] = None,
    force: Annotated[
        list[str] | None,
        typer.Option("--force", help="Run this stage anew, and what follows. Repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object as the last line.")
    ] = False,
) -> None:
    """Run an experiment; finished stages are not run again, a killed run continues.

    Examples:
      gimbal run configs/nbv/quickstart.yaml

      gimbal run configs/nbv/quickstart.yaml data.meshes=~/scans seed=3

      gimbal run configs/nbv/quickstart.yaml --stage views --force meshes

      gimbal run configs/nbv/quickstart.yaml --json | tail -n 1 | jq .metrics.evaluate

    Exit status:
      0 finished, 2 config, 3 a stage failed, 4 a gate was missed,
      5 other code than submitted, 6 disk, 70 a bug, 130 interrupted,
      75 asked to make room and checkpointed, 76 somebody else holds the GPU
    """
    from gimbal.pipeline.attempt_session import attempt_session

    with attempt_session(exit_code), interruptible():
        from gimbal.experiment.loading import load_experiment
        from gimbal.pipeline.runner import RunOptions, run_experiment

        workload, settings = load_experiment(config, overrides or [])
        options = RunOptions(only=stage, force=tuple(force or ()), command=tuple(sys.argv))
        with running() as observer:
            result = run_experiment(workload, settings, options, observer)
        report_result(result.run_dir, result.stages, result.metrics, as_json=as_json)


@contextlib.contextmanager
def running() -> Iterator[Observer]:
    """Show a run on the terminal; a stopped one says how it is continued.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came.
    """
    from gimbal.cli.progress import ConsoleObserver

    with interruptible(), ConsoleObserver() as observer:
        yield observer


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one error.

    Raises:
        Interrupted: One of them came.
    """
    terminate_as_interrupt()
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; everything finished so far is kept",
            "run the same command again: it continues",
        ) from None


def report_result(
    run_dir: str, stages: dict[str, Any], metrics: dict[str, Any], *, as_json: bool
) -> None:
    """Print the results table, where the report is and how to open MLflow; then the JSON line."""
    _summarise(run_dir, as_json=as_json)
    if as_json:
        print_json({"run_dir": run_dir, "stages": stages, "metrics": metrics})


def terminate_as_interrupt() -> None:
    """Treat SIGTERM like Ctrl-C, so that a stopped job is recorded as interrupted."""

    def handler(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handler)


def print_json(value: Any) -> None:
    """Print one line of strict JSON on standard output."""
    sys.stdout.write(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    """Strict JSON has no NaN and no infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _summarise(run_dir: str, *, as_json: bool) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=True, highlight=False, width=_LOG_WIDTH)
    for table in _tables(Path(run_dir)):
        console.print(table)
    report = Path(run_dir) / "report.html"
    if report.exists():
        console.print(f"report  {report}", soft_wrap=True)
    console.print(f"run     {run_dir}", soft_wrap=True)
    if not as_json:
        console.print(f"MLflow  {_ui_command(Path(run_dir))}", soft_wrap=True)


def _ui_command(run_dir: Path) -> str:
    """Return the command that opens MLflow on the store this run was told to."""
    runs_dir = run_dir.parents[1]
    if runs_dir == Path("runs").absolute():
        return "gimbal ui"
    return f"gimbal ui --runs-dir {shlex.quote(str(runs_dir))}"


def _tables(run_dir: Path) -> list[Any]:
    """Return the tables that stages left as `summary.json` in their folders."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    tables = []
    for path in sorted(run_dir.glob("stages/*/summary.json")):
        summary = json.loads(path.read_text())
        table = Table(
            title=summary["title"], caption=summary.get("caption"), box=SIMPLE_HEAD, pad_edge=False
        )
        for index, name in enumerate(summary["columns"]):
            table.add_column(name, justify="left" if index == 0 else "right")
        for row in summary["rows"]:
            table.add_row(*[str(cell) for cell in row])
        tables.append(table)
    return tables
