"""`gimbal nero watch`: strips and checks of a shape that is still learning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from gimbal_nero.commands.runs import Run, RunsDir


def watch_command(
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; none: watched/ in the run's folder.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at a shape while it learns: strips of held-out views, slices, a timeline, checks.

    --out gets what stage `watch` would write now: strip-*.png, slices.png, step-*.png of every kept
    checkpoint and watch.json. Checks are told, and change no exit status: early ones fail.

    Examples:
      gimbal nero watch --run latest

      gimbal nero watch --run nero-shape-real --out look --json

    Exit status:
      0 done, 2 no such run or no checkpoint yet, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_nero.commands.runs import free_folder, nero_run
    from gimbal_nero.stages.watching import watch_gates

    found, config = nero_run(run, at_home(runs_dir))
    folder = at_home(out).absolute() if out else found.path / "watched"
    free_folder(
        folder,
        re.compile(r"watch\.json|slices\.png|(strip|step)-\d+\.png").fullmatch,
        ("watch.json",),
    )
    numbers = _watched(found, config, folder)
    checks = [gate.check(numbers) for gate in watch_gates(config.watch, config.model)]
    for check in checks:
        typer.echo(f"{'✓' if check.passed else '✗'} {check.name}: {check.message}", err=as_json)
    typer.echo(f"folder      {folder}", err=as_json)
    if as_json:
        failed = [check.name for check in checks if not check.passed]
        print_json({"out": str(folder), "failed": failed, "metrics": numbers})


def _watched(run: Any, config: Any, folder: Path) -> dict[str, Any]:
    from gimbal.cli.run_commands import running
    from gimbal.experiment.files import ensure_folder
    from gimbal.experiment.stage import StageOutput
    from gimbal_nero.commands.runs import stage_folder
    from gimbal_nero.stages.preparing import PREPARE
    from gimbal_nero.stages.shaping import SHAPE
    from gimbal_nero.stages.watching import watch_stage

    inputs = {
        name: StageOutput(name=name, path=stage_folder(run, name), fingerprint="", metrics={})
        for name in (PREPARE, SHAPE)
    }
    stage = watch_stage(config.watch, config.model, config.seed)
    with running() as observer:
        return stage.run(
            inputs,
            ensure_folder(folder),
            lambda done, of, words: observer.stage_progress("watch", done, of, words),
        )
