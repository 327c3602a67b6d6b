"""`gimbal multicar preview`: look at one car's panorama."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal_multicar.previewing.options import (
    AsJson,
    ChosenSplit,
    Overrides,
    Root,
    Run,
    RunsDir,
    Split,
)

if TYPE_CHECKING:
    from gimbal_multicar.previewing.looking import Looked


class Reference(StrEnum):
    """The car's frame."""

    LIDAR = "lidar"
    EGO = "ego"
    BOX_CENTRE = "box_centre"


def preview(
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures, arrays and the page.")],
    overrides: Overrides = None,
    root: Root = None,
    run: Run = None,
    split: ChosenSplit = Split.TRAIN,
    index: Annotated[
        int, typer.Option("--index", help="Which car and frame of it: by scenario, time and car.")
    ] = 0,
    depth_root: Annotated[
        Path | None, typer.Option("--depth-root", help="Folder of depth files laid out like it.")
    ] = None,
    reference: Annotated[
        Reference | None, typer.Option("--reference", help="The panorama's centre; else lidar.")
    ] = None,
    legacy_crop: Annotated[
        bool, typer.Option("--legacy-crop", help="Crop images first, as the source did.")
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    force: Annotated[
        bool, typer.Option("--force", help="Replace the preview that is in --out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at one car at one moment: its panorama, range, masks and points.

    The folder gets panorama.png, panorama_cameras.png (the cameras' borders and names), depth.npy
    (metres along the ray, 0 unknown) and mask.npy (three layers: coverage, non_ambiguous, valid),
    both also as pictures, points.ply for MeshLab (the car's axes: x right, y down, z forward),
    preview.html with the three panels one below the other, zoomed together, and preview.json with
    every number.

    Examples:
      gimbal multicar preview --root /data/OPV2V --split train --index 0 --out look

      gimbal multicar preview --root /data/OPV2V --depth-root /data/OPV2V_depth --out look
      data.panorama.height=252 data.panorama.vfov_deg=90

      gimbal multicar preview --run latest --split validate --index 3 --out look --json | jq .valid

    Exit status:
      0 done, 1 no data set or a broken file, 2 a wrong option or key, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_multicar.out_folder import require_free
    from gimbal_multicar.previewing.facts import lines_of
    from gimbal_multicar.previewing.folder import FILES, write_preview

    folder = at_home(out)
    require_free(folder, FILES, what="preview", force=force)
    asked = {
        "root": root,
        "depth_root": depth_root,
        "reference": reference.value if reference else None,
        "legacy_crop": legacy_crop or None,
    }
    looked = _looked(run, asked, overrides or [], (split.value, index), at_home(runs_dir))
    record = write_preview(looked, folder)
    for line in [*lines_of(record), f"page    {folder / 'preview.html'}", f"folder  {folder}"]:
        typer.echo(line, err=as_json)
    if as_json:
        print_json({"out": str(folder), **record})


def _looked(
    run: str | None,
    asked: dict[str, Any],
    overrides: list[str],
    place: tuple[str, int],
    runs_dir: Path,
) -> Looked:
    """Return what is to be shown.

    Raises:
        ConfigError: Options that do not go together, a wrong key, or an index beyond the end.
    """
    from gimbal.errors import ConfigError
    from gimbal_multicar.previewing.looking import look_at_dataset, look_at_run
    from gimbal_multicar.previewing.settings import preview_config

    given = [f"--{name.replace('_', '-')}" for name, value in asked.items() if value is not None]
    if run is not None:
        if given or overrides:
            raise ConfigError(
                f"--run shows rows as they are: {', '.join([*given, *overrides])} changes nothing",
                "leave it out, or name the data set with --root",
            )
        return look_at_run(run, runs_dir, *place)
    return look_at_dataset(preview_config(asked, overrides, place[0]), *place)
