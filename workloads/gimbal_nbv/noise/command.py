"""`gimbal nbv noise`: does a policy keep its lead where measurements err?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gimbal_nbv.noise.settings import NoiseSettings


def noise(
    run: Annotated[str, typer.Option("--run", help="Run id, folder, experiment or 'latest'.")],
    depth: Annotated[
        str, typer.Option("--depth", help="Depth noise (sigma) in bounding-box diagonals.")
    ] = "0,.002,.005,.01,.02",
    rotation_deg: Annotated[
        str, typer.Option("--rotation-deg", help="Error of declared orientations (rms), degrees.")
    ] = "0,.5,1,2,4",
    translation: Annotated[
        str, typer.Option("--translation", help="Error of declared places (rms) in diagonals.")
    ] = "0,.005,.01,.02,.04",
    objects: Annotated[
        int, typer.Option("--objects", min=1, help="Look at no more held-out objects than this.")
    ] = 64,
    first_views: Annotated[
        int | None, typer.Option("--first-views", min=1, help="Starts of each object.")
    ] = None,
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs.")
    ] = Path("runs"),
    allow_drift: Annotated[
        bool,
        typer.Option(
            "--allow-drift", help="Use a policy trained with other code, settings or libraries."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Roll all policies of a run out under depth noise and pose noise.

    Policies and reconstruction get the noisy measurements; whether a point was seen stays a fact.
    One axis is varied at a time and the clean level always measured; `--depth 0` leaves an axis
    out. PASS when the policy's lead in AUC over farthest stays above 0, with its whole 95 %
    interval, at the strongest level of every axis; NOT CHECKABLE with one object, which has no
    interval.

    Writes diagnosis.json and a page that opens offline. A stopped command continues where it was.

    Examples:
      gimbal nbv noise --run latest --objects 16

      gimbal nbv noise --run nbv-quickstart --depth 0,.01,.05 --rotation-deg 0 --translation 0

      gimbal nbv noise --run latest --json | jq '.numbers.levels[] | {label, over_farthest}'

    Exit status:
      0 PASS, 4 FAIL, 2 a wrong option or run, 3 a stage broke, 6 disk or damaged files, 7 drift,
      8 NOT CHECKABLE, 130 interrupted
    """
    from gimbal.cli.run_commands import running
    from gimbal_nbv.diagnosing import Diagnosed
    from gimbal_nbv.diagnosis_commands import report
    from gimbal_nbv.noise.running import Noising, evaluate_under_noise

    asked = Noising(
        reference=run,
        runs_dir=runs_dir,
        noise=_settings(depth, rotation_deg, translation, objects),
        first_views=first_views,
        allow_drift=allow_drift,
    )
    with running() as observer:
        found = evaluate_under_noise(asked, tuple(sys.argv), observer)
    report(Diagnosed(record=found.record, page=found.page, run_dir=found.run_dir), as_json=as_json)


def _settings(depth: str, rotation_deg: str, translation: str, objects: int) -> NoiseSettings:
    """Check the options.

    Raises:
        ConfigError: A level is no number, or out of range.
    """
    from pydantic import ValidationError

    from gimbal.errors import ConfigError
    from gimbal_nbv.noise.settings import NoiseSettings

    given = {"depth": depth, "rotation_deg": rotation_deg, "translation": translation}
    values = {name: _levels(name, text) for name, text in given.items()}
    try:
        return NoiseSettings.model_validate({**values, "objects": objects})
    except ValidationError as exc:
        first = exc.errors()[0]
        option = f"--{str(first['loc'][0]).replace('_', '-')}: " if first["loc"] else ""
        raise ConfigError(
            f"{option}{first['msg']}", "lengths are 0 to .1 diagonals, angles 0 to 15 degrees"
        ) from exc


def _levels(name: str, text: str) -> tuple[float, ...]:
    from gimbal.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as exc:
        raise ConfigError(
            f"--{name.replace('_', '-')}: {text!r} is no list of numbers",
            "write numbers with commas between, such as 0,.005,.01",
        ) from exc
