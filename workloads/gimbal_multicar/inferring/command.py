"""`gimbal multicar infer`: ask a run's model about a moment of any folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gimbal_multicar.inferring.options import (
    AnyRoot,
    DepthRoot,
    Force,
    Frame,
    JudgedSplit,
    Main,
    MaxDistance,
    Out,
    Scenario,
    TrainedRun,
)
from gimbal_multicar.previewing.options import AsJson, Checkpoint, RunsDir

if TYPE_CHECKING:
    from gimbal_multicar.inferring.moments import Wanted
    from gimbal_multicar.inferring.trained import Trained


def infer(
    run: TrainedRun,
    root: AnyRoot,
    frame: Frame,
    scenario: Scenario = None,
    main: Main = None,
    split: JudgedSplit = None,
    depth_root: DepthRoot = None,
    max_distance: MaxDistance = None,
    checkpoint: Checkpoint = "best",
    out: Out = None,
    runs_dir: RunsDir = Path("runs"),
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Ask a trained model where the cars of one moment are, and how far away everything is.

    The cars' pictures are fused by the run's own settings; on the run's own folder the numbers are
    those of its validation. A folder with other depth (--depth-root) gives other pictures: how they
    are made is said beside how training's were, with LOOK where they differ. Poses are in the main
    car's frame (x right, y down, z forward), metres and degrees; the folder's true poses tell the
    errors, and with the main car's own, where cars are said to be in the data set's world.
    --out gets infer.json, for each car AGENT_pose.npy (main car from car), AGENT_world_pose.npy
    (world from car), AGENT_range.npy (metres along the ray) and AGENT_mask.npy (probabilities), and
    cloud.ply of all predicted points at the predicted poses.

    Examples:
      gimbal multicar infer --run latest --root /data/OPV2V --scenario 2021_08_18_19_48_05
      --frame 000068

      gimbal multicar infer --run latest --root made --split validate --frame 000060 --main 968
      --out answer --json | jq .pose_rmse

    Exit status:
      0 done, 1 no data set or a broken file, 2 a wrong option, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_multicar.inferring.moments import Wanted
    from gimbal_multicar.inferring.outcome import lines_of
    from gimbal_multicar.inferring.trained import open_trained
    from gimbal_multicar.previewing.looking import multicar_run

    trained = open_trained(multicar_run(run, at_home(runs_dir)), checkpoint)
    wanted = Wanted(
        root=at_home(root),
        frame=frame,
        split=split.value if split else trained.config.evaluate.split,
        scenario=scenario,
        main=main,
        depth_root=at_home(depth_root) if depth_root else None,
        max_distance_m=max_distance,
    )
    folder = at_home(out) if out else None
    record = _asked(trained, wanted, folder, force=force)
    for line in [*lines_of(record), *([f"folder       {folder}"] if folder else [])]:
        typer.echo(line, err=as_json)
    if as_json:
        print_json(record)


def _asked(trained: Trained, wanted: Wanted, folder: Path | None, *, force: bool) -> dict[str, Any]:
    """Return the model's answer, kept in a folder if there is one.

    Raises:
        GimbalError: See `outcome.infer`; or the folder holds another answer.
    """
    from gimbal_multicar.inferring.outcome import files_of, infer, record_of, write
    from gimbal_multicar.inferring.trained import panoramas_of
    from gimbal_multicar.out_folder import require_free

    panoramas = panoramas_of(trained.run)
    answered = infer(trained, wanted, panoramas)
    record = record_of(answered, trained, panoramas)
    if folder is not None:
        require_free(folder, files_of(answered), what="answer", force=force)
        write(answered, record, folder)
    return record
