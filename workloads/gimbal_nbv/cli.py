"""The commands under `gimbal nbv`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gimbal_nbv.diagnosis_commands import add_diagnostics
from gimbal_nbv.noise.command import noise
from gimbal_nbv.playing.command import rollout

app = typer.Typer(help="Next best view: judge a trained policy.", no_args_is_help=True)


@app.callback()
def _nbv() -> None:
    """Next best view: judge a trained policy."""


@app.command("evaluate")
def evaluate(
    run: Annotated[str, typer.Option("--run", help="Run id, folder, experiment or 'latest'.")],
    meshes: Annotated[Path, typer.Option("--meshes", help="Folder of obj, ply, off, stl, glb.")],
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs.")
    ] = Path("runs"),
    allow_drift: Annotated[
        bool,
        typer.Option(
            "--allow-drift", help="Judge a policy trained with other code, settings or libraries."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object as the last line.")
    ] = False,
) -> None:
    """Judge a trained policy on meshes it never saw, beside all its baselines.

    A policy that was trained with other code, settings or libraries than are here is refused, and
    every difference named. --allow-drift judges it all the same; the metrics, the provenance,
    MLflow and the report then say so.

    Exits with 7 where it drifted, 6 where its checkpoint is damaged, and otherwise like gimbal run.

    Examples:
      gimbal nbv evaluate --run latest --meshes ~/scans

      gimbal nbv evaluate --run nbv-quickstart --meshes ~/scans --json | jq .metrics.evaluate

      gimbal nbv evaluate --run nbv-quickstart --meshes ~/scans --allow-drift
    """
    from gimbal.cli.run_commands import report_result, running
    from gimbal_nbv.judging import Judging, evaluate_run

    judging = Judging(reference=run, meshes=meshes, runs_dir=runs_dir, allow_drift=allow_drift)
    with running() as observer:
        result = evaluate_run(judging, tuple(sys.argv), observer)
    report_result(result.run_dir, result.stages, _with_objects(result), as_json=as_json)


def _with_objects(result: Any) -> dict[str, Any]:
    from gimbal.experiment.files import read_json
    from gimbal_nbv.stages.evaluating import EVALUATION_FILE

    full = read_json(Path(result.stages["evaluate"]["path"]) / EVALUATION_FILE)
    evaluate = {**result.metrics["evaluate"], "per_object": full["per_object"]}
    return {**result.metrics, "evaluate": evaluate | {"skipped": full["skipped"]}}


@app.command("check")
def check(
    run: Annotated[str, typer.Option("--run", help="Run id, folder, experiment or 'latest'.")],
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs.")
    ] = Path("runs"),
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="Largest difference that is the same.")
    ] = 1e-5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare training's validation with the policy as rollouts use it, at the best checkpoint.

    The checkpoint is loaded, every validation state rebuilt from its object and its views, and
    scored by the policies of rollouts; loss and regret must be what training logged. Where scores
    alone do not give the loss (a direction, refinement, an auxiliary task) that is said. A policy
    trained on a GPU may decide a near tie otherwise on a CPU: raise --tolerance then.

    Examples:
      gimbal nbv check --run latest

      gimbal nbv check --run latest --json | jq '.numbers[].difference'

    Exit status:
      0 the same, 4 not the same, 2 no such run, 6 damaged files, 8 it cannot be told
    """
    from dataclasses import asdict

    from gimbal.cli.run_commands import print_json
    from gimbal.errors import GateFailed
    from gimbal.experiment.run_finding import find
    from gimbal_nbv.checking import check_run

    checked = check_run(find(runs_dir, run))
    if as_json:
        numbers = [asdict(n) | {"difference": n.difference} for n in checked.numbers]
        print_json(
            {
                "checkpoint": str(checked.checkpoint),
                "step": checked.step,
                "states": checked.states,
                "tolerance": tolerance,
                "numbers": numbers,
                "left_out": list(checked.left_out),
            }
        )
    else:
        typer.echo(f"{checked.checkpoint.name}: {checked.states} validation states")
        typer.echo(f"{'':<14} {'training':>12} {'rollouts':>12} {'difference':>11}")
        for n in checked.numbers:
            typer.echo(f"{n.name:<14} {n.trained:12.7f} {n.inferred:12.7f} {n.difference:11.1e}")
        if checked.left_out:
            left = ", ".join(checked.left_out)
            typer.echo(f"not compared, since scores alone do not give it: {left}")
    wrong = [n for n in checked.numbers if not n.difference <= tolerance]
    if wrong:
        raise GateFailed(
            "; ".join(f"{n.name} is {n.inferred:.7g}, in training {n.trained:.7g}" for n in wrong),
            "the policy is not used as it was trained: gimbal verify RUN names what changed since",
        )


add_diagnostics(app)
app.command("rollout")(rollout)
app.command("noise")(noise)
