"""`gimbal multicar infer`: ask a run's model about a moment of any folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gimbal_multicar.previewing.options import RunsDir, Split


def infer(
    run: Annotated[
        str, typer.Option("--run", help="The run that trained: id, folder, experiment or 'latest'.")
    ],
    root: Annotated[
        Path, typer.Option("--root", help="A folder laid out like OPV2V: it holds train or test.")
    ],
    frame: Annotated[str, typer.Option("--frame", help="Which frame, such as 000068.")],
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="Needed where several have the frame.")
    ] = None,
    main: Annotated[
        str | None, typer.Option("--main", help="Id of the main car; else the first as text.")
    ] = None,
    split: Annotated[
        Split | None, typer.Option("--split", help="Which split; else the one the run judges.")
    ] = None,
    depth_root: Annotated[
        Path | None,
        typer.Option(
            "--depth-root", help="Folder of depth files laid out like it; else the run's own."
        ),
    ] = None,
    max_distance: Annotated[
        float | None,
        typer.Option("--max-distance", help="Farther cars stay out, m; else as in training."),
    ] = None,
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="best, last or a step.")] = "best",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for numbers, arrays and cloud; else none.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    force: Annotated[
        bool, typer.Option("--force", help="Replace the answer that is in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask a trained model where the cars of one moment are, and how far away everything is.

    The cars' pictures are fused by the run's own settings; on the run's own folder the numbers are
    those of its validation. A folder with other depth (--depth-root) gives other pictures: how they
    are made is said beside how training's were, with LOOK where they differ. Poses are in the main
    car's frame (x right, y down, z forward), metres and degrees; the folder's true poses tell the
    errors. --out gets infer.json, for each car AGENT_pose.npy (main car from car), AGENT_range.npy
    (metres along the ray) and AGENT_mask.npy (probabilities), and cloud.ply of all predicted points
    at the predicted poses.

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
    from gimbal_multicar.inferring.outcome import files_of, lines_of, record_of, write
    from gimbal_multicar.inferring.outcome import infer as ask
    from gimbal_multicar.inferring.trained import open_trained, panoramas_of
    from gimbal_multicar.out_folder import require_free
    from gimbal_multicar.previewing.looking import multicar_run

    found = multicar_run(run, at_home(runs_dir))
    trained = open_trained(found, checkpoint)
    wanted = Wanted(
        root=at_home(root),
        frame=frame,
        split=split.value if split else trained.config.evaluate.split,
        scenario=scenario,
        main=main,
        depth_root=at_home(depth_root) if depth_root else None,
        max_distance_m=max_distance,
    )
    panoramas = panoramas_of(found)
    answered = ask(trained, wanted, panoramas)
    record = record_of(answered, trained, panoramas)
    if out is not None:
        folder = at_home(out)
        require_free(folder, files_of(answered), what="answer", force=force)
        write(answered, record, folder)
    for line in [*lines_of(record), *([] if out is None else [f"folder       {at_home(out)}"])]:
        typer.echo(line, err=as_json)
    if as_json:
        print_json(record)
