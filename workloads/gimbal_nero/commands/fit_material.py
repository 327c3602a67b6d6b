"""`gimbal nero fit-material`: material and light of a mesh that is there already."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gimbal_nero.config import NeroConfig

EXPERIMENT = "nero-fit-material"


def fit_material_command(
    mesh: Annotated[
        Path, typer.Option("--mesh", help="GLB, glTF, OBJ, PLY, OFF or STL, in the poses' frame.")
    ],
    data: Annotated[
        Path, typer.Option("--data", help="Photographs with poses, as `gimbal nero prepare` takes.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings to change, such as mc.diffuse_samples=128.")
    ] = None,
    size: Annotated[
        str, typer.Option("--size", help="quick: two cores, a minute; published: a GPU, hours.")
    ] = "quick",
    axes: Annotated[
        str,
        typer.Option("--axes", help="as_photographs; y_up: a y-up file beside z-up poses."),
    ] = "as_photographs",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit material and light to somebody else's mesh, export them, and relight it.

    This is `gimbal run` without the stages that learn a shape: prepare, mesh (which says how well
    mesh and photographs fit together), material, review, export, relight, evaluate, report. It is
    continued by the same command, and its run is one like any other.

    Examples:
      gimbal nero synthesize --out made

      gimbal nero fit-material --mesh made/truth/mesh.ply --data made

      gimbal nero fit-material --mesh scan.glb --data photos --axes y_up prepare.bound=masks

      gimbal nero fit-material --mesh scan.obj --data photos --size published --json

    Exit status:
      0 done, 1 mesh, photographs or lights cannot be used, 2 a wrong option or setting, 3 a stage
      failed, 4 mesh and photographs do not fit, or
      another check was missed, 6 disk
    """
    from gimbal.cli.run_commands import report_result, running
    from gimbal.experiment.registry import load_workload
    from gimbal.pipeline.runner import RunOptions, run_experiment

    settings = fitting_config(mesh, data, overrides or [], size=size, axes=axes)
    with running() as observer:
        options = RunOptions(command=tuple(sys.argv))
        result = run_experiment(load_workload("nero"), settings, options, observer)
    report_result(result.run_dir, result.stages, result.metrics, as_json=as_json)


def fitting_config(
    mesh: Path, data: Path, overrides: list[str], *, size: str = "quick", axes: str
) -> NeroConfig:
    """Return the settings of a run without a shape.

    Raises:
        ConfigError: A file is not there, or a setting is wrong.
    """
    from gimbal.errors import ConfigError
    from gimbal.experiment.loading import default_settings
    from gimbal.experiment.paths import at_home
    from gimbal.experiment.registry import load_workload
    from gimbal_nero.config import NeroConfig
    from gimbal_nero.material.presets import PRESETS

    mesh, data = at_home(mesh), at_home(data)
    if not mesh.is_file():
        raise ConfigError(f"--mesh: there is no file {mesh}", "name a mesh file")
    if not data.is_dir():
        raise ConfigError(f"--data: there is no folder {data}", "name a folder of photographs")
    if size not in PRESETS:
        raise ConfigError(f"--size: {size} is none", f"write one of {', '.join(PRESETS)}")
    base: dict[str, Any] = {
        "workload": "nero",
        "experiment": EXPERIMENT,
        "data": {"root": str(data)},
        "mesh": {"file": str(mesh), "axes": axes},
        **PRESETS[size],
    }
    settings = default_settings(load_workload("nero"), base, overrides)
    assert isinstance(settings, NeroConfig)
    return settings
