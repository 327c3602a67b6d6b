"""`gimbal nero novel-views`: a run's object from where no photograph was taken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gimbal_nero.commands.relight import (
    AsJson,
    Device,
    Directions,
    Frames,
    Out,
    PathOption,
    Side,
    film_run,
    folder_of,
    path_word,
)
from gimbal_nero.commands.runs import Run, RunsDir

if TYPE_CHECKING:
    from gimbal_nero.relighting.learnt import LearntObject

_LEARNT = "learnt"


def novel_views_command(
    run: Run,
    path: PathOption = "orbit",
    side: Side = None,
    frames: Frames = None,
    directions: Directions = None,
    device: Device = None,
    out: Out = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show a run's object along a path, in the light that was learnt with it.

    --out gets learnt-<number>.png, the object before that light, and learnt.gif where there are
    several of one size. A file of poses is as `gimbal nero relight` takes it.

    Examples:
      gimbal nero novel-views --run latest

      gimbal nero novel-views --run latest --path views --frames 8 --side 256

      gimbal nero novel-views --run latest --path poses.json --directions 256 --out shown --json

    Exit status:
      0 done, 1 something is no pose, 2 no such run, stage or option, 6 disk
    """
    from gimbal.experiment.paths import at_home
    from gimbal_nero.commands.runs import nero_run

    def lights(learnt: LearntObject) -> dict[str, Any]:
        return {_LEARNT: learnt.light}

    found, config = nero_run(run, at_home(runs_dir))
    folder = folder_of(out, found.path, f"{_LEARNT}-{path_word(path)}")
    film_run(
        found, config, lights, (path, side, frames, directions, device), folder, as_json=as_json
    )
