"""`gimbal run`: run an experiment, or continue one that was killed."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from gimbal.cli.border import Interrupted


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
    """
    from gimbal.cli.progress import ConsoleObserver
    from gimbal.experiment.loading import load_experiment
    from gimbal.pipeline.runner import RunOptions, run_experiment

    workload, settings = load_experiment(config, overrides or [])
    options = RunOptions(only=stage, force=tuple(force or ()), command=tuple(sys.argv))
    terminate_as_interrupt()
    with ConsoleObserver() as observer:
        try:
            result = run_experiment(workload, settings, options, observer)
        except KeyboardInterrupt:
            raise Interrupted(
                "interrupted; everything finished so far is kept",
                "run the same command again: it continues",
            ) from None
    _summarise(result.run_dir, result.metrics, as_json=as_json)
    if as_json:
        print_json({"run_dir": result.run_dir, "stages": result.stages, "metrics": result.metrics})


def terminate_as_interrupt() -> None:
    """Treat SIGTERM like Ctrl-C, so that a stopped job is recorded as interrupted."""

    def handler(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handler)


def print_json(value: dict[str, Any]) -> None:
    """Print one line of strict JSON on standard output."""
    from gimbal.experiment.files import to_json

    sys.stdout.write(to_json(value) + "\n")
    sys.stdout.flush()


def _summarise(run_dir: str, metrics: dict[str, Any], *, as_json: bool) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    for table in _tables(Path(run_dir)):
        console.print(table)
    report = Path(run_dir) / "report.html"
    if report.exists():
        console.print(f"report  {report}", soft_wrap=True)
    console.print(f"run     {run_dir}", soft_wrap=True)
    if not as_json:
        console.print("MLflow  gimbal ui")


def _tables(run_dir: Path) -> list[Any]:
    """Return the tables that stages left as `summary.json` in their folders."""
    from rich.table import Table

    tables = []
    for path in sorted(run_dir.glob("stages/*/summary.json")):
        summary = json.loads(path.read_text())
        table = Table(title=summary["title"], caption=summary.get("caption"))
        for index, name in enumerate(summary["columns"]):
            table.add_column(name, justify="left" if index == 0 else "right")
        for row in summary["rows"]:
            table.add_row(*[str(cell) for cell in row])
        tables.append(table)
    return tables
