"""`gimbal nero relight`: a run's object under other lights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal_nero.commands.runs import Run, RunsDir

if TYPE_CHECKING:
    from gimbal.experiment.run_folder import RunFolder
    from gimbal_nero.config import NeroConfig
    from gimbal_nero.relighting.learnt import LearntObject

PathOption = Annotated[
    str,
    typer.Option("--path", help="orbit, views (the photographs'), or a JSON file of poses."),
]
Side = Annotated[
    int | None,
    typer.Option(
        "--side",
        min=8,
        max=4096,
        help="Pixels of the longest side; none: the run's or the lens's.",
    ),
]
Frames = Annotated[
    int | None,
    typer.Option("--frames", min=1, max=720, help="Around the object, or at most so many views."),
]
Directions = Annotated[
    int | None,
    typer.Option("--directions", min=1, max=65536, help="Of each way and pixel; none: the run's."),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder; none: pictures/ in the run's folder.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu or cuda; none: the run's relight.device.")
]
_LONGEST_WORD = 60
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def relight_command(
    run: Run,
    hdri: Annotated[
        list[Path] | None,
        typer.Option(
            "--hdri",
            help="Latitude-longitude .hdr or .exr, z up. Repeatable; none: the run's other lights.",
        ),
    ] = None,
    frame: Annotated[
        str,
        typer.Option("--frame", help="Whose z is up in it: photographs (their poses') or unit."),
    ] = "photographs",
    path: PathOption = "orbit",
    side: Side = None,
    frames: Frames = None,
    directions: Directions = None,
    device: Device = None,
    out: Out = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show a run's object under other lights, with light between its parts; no Blender needed.

    --out gets <light>-<number>.png, the object before the light, and <light>.gif where there are
    several of one size. A file of poses is a JSON list of {cam2world: 4 x 4 in the frame of the
    photographs' poses, OpenCV axes} with K, width and height where the lens is another.

    Examples:
      gimbal nero relight --run latest

      gimbal nero relight --run latest --hdri studio.hdr

      gimbal nero relight --run latest --hdri a.exr --hdri b.exr --frame unit --side 512

      gimbal nero relight --run latest --hdri studio.hdr --path poses.json --out shown --json

    Exit status:
      0 done, 1 something is no light or no pose, 2 no such run, stage or option, 6 disk, or a
      light that is not there
    """
    from gimbal.errors import ConfigError
    from gimbal.experiment.paths import at_home
    from gimbal_nero.commands.runs import nero_run
    from gimbal_nero.relighting.lights import file_lights, named_apart, true_lights

    if frame not in ("photographs", "unit"):
        raise ConfigError(f"--frame: {frame} is none", "write photographs or unit")
    found, config = nero_run(run, at_home(runs_dir))
    files = [at_home(file) for file in hdri or config.relight.lights]
    root = None if hdri else made_folder(found, config)

    def lights(learnt: LearntObject) -> dict[str, Any]:
        place = learnt.capture.normalisation
        given = file_lights(files, place, frame, learnt.device)  # type: ignore[arg-type]
        if root is not None:
            given = named_apart((*true_lights(root, place, learnt.device), *given))
        if not given:
            raise ConfigError("there is no other light", "name one: --hdri FILE")
        return {light.name: learnt.under(light.sky, config.relight) for light in given}

    words = lights_word(files)
    folder = folder_of(out, found.path, f"{words}-{path_word(path)}")
    film_run(
        found, config, lights, (path, side, frames, directions, device), folder, as_json=as_json
    )


def made_folder(run: RunFolder, config: NeroConfig) -> Path:
    """Return the folder of photographs, beside which made ones have other lights."""
    from gimbal_nero.commands.runs import stage_folder
    from gimbal_nero.stages.synthesizing import SYNTHESIZE

    return config.data.root or stage_folder(run, SYNTHESIZE)


def device_word(device: str | None, config: NeroConfig) -> str:
    """Return `--device`, or what the run says.

    Raises:
        ConfigError: It is no device.
    """
    from gimbal.errors import ConfigError

    word = device or config.relight.device
    if word not in ("cpu", "cuda"):
        raise ConfigError(f"--device: {word} is none", "write cpu or cuda")
    return word


def lights_word(files: Sequence[Path]) -> str:
    """Return a folder's name for some lights: another one for other files of the same names."""
    if not files:
        return "other-lights"
    names = "-".join(file.stem for file in files)[:_LONGEST_WORD]
    told = "\n".join(str(file.absolute()) for file in files)
    return f"{names}-{hashlib.sha256(told.encode()).hexdigest()[:6]}"


def path_word(path: str) -> str:
    """Return `--path` as a part of a folder's name."""
    return Path(path).stem


def folder_of(out: Path | None, run_dir: Path, name: str) -> Path:
    """Return where pictures go: `--out`, or a folder of the run."""
    from gimbal.experiment.paths import at_home

    return run_dir / "pictures" / name if out is None else at_home(out).absolute()


def film_run(
    run: RunFolder,
    config: NeroConfig,
    lights: Any,
    wanted: tuple[str, int | None, int | None, int | None, str | None],
    folder: Path,
    *,
    as_json: bool,
) -> None:
    """Make the pictures of a command and say where they are.

    Args:
        run: The run.
        config: Its settings.
        lights: From the learnt object to lights by name.
        wanted: --path, --side, --frames, --directions and --device.
        folder: Where; holds nothing that is somebody else's.
        as_json: Print one JSON object.

    Raises:
        ConfigError: A stage has not begun, or `folder` is somebody else's.
    """
    from gimbal.cli.run_commands import print_json, running
    from gimbal_nero.commands.runs import free_folder
    from gimbal_nero.relighting.filming import PICTURES_FILE, film, is_ours
    from gimbal_nero.relighting.learnt import device_named, load_object

    free_folder(folder, is_ours, (PICTURES_FILE,))
    device = wanted[-1]
    learnt = load_object(sources_of(run, config), device_named(device_word(device, config)))
    path, side, frames, directions, _ = wanted
    shots = shots_of(learnt, config, path, side, frames)
    named = lights(learnt)
    with running() as observer:
        record = film(
            learnt.renderer,
            named,
            shots,
            directions or config.relight.directions,
            folder,
            seed=config.seed,
            progress=lambda done, of, what: observer.stage_progress("pictures", done, of, what),
        )
    count = len(named) * len(shots)
    typer.echo(f"{count} pictures in {record['seconds']} s\nfolder      {folder}", err=as_json)
    if as_json:
        print_json({"out": str(folder), **record})


def sources_of(run: RunFolder, config: NeroConfig) -> Any:
    """Return what a run has learnt, as `load_object` takes it.

    Raises:
        ConfigError: The run has no material, or a stage has not begun.
    """
    from gimbal.errors import ConfigError
    from gimbal_nero.commands.runs import stage_folder
    from gimbal_nero.relighting.learnt import Sources
    from gimbal_nero.stages.fitting import MATERIAL
    from gimbal_nero.stages.meshing import MESH
    from gimbal_nero.stages.preparing import PREPARE
    from gimbal_nero.stages.shaping import SHAPE

    if config.material is None:
        raise ConfigError(
            f"run {run.id} has learnt a shape alone, and no material",
            "run a config with a section material, such as configs/nero/quickstart.yaml",
        )
    refined = config.mesh.file is None and config.points.refining_steps > 0
    return Sources(
        prepare=stage_folder(run, PREPARE),
        mesh=stage_folder(run, MESH),
        material=stage_folder(run, MATERIAL),
        shape=stage_folder(run, SHAPE) if refined else None,
        networks=config.material.networks,
        model=config.model,
    )


def shots_of(
    learnt: LearntObject, config: NeroConfig, path: str, side: int | None, frames: int | None
) -> Any:
    """Return the cameras that `--path` means.

    Raises:
        ConfigError: It is neither a path's name nor a file.
        CaptureError: The file has no poses.
    """
    from gimbal.errors import ConfigError
    from gimbal.experiment.paths import at_home
    from gimbal_nero.relighting import paths

    settings = config.relight
    if path == "orbit":
        count = frames or settings.orbit_frames or 36
        return paths.orbit(
            learnt.vertices, count, settings.orbit_elevation_deg, side or settings.orbit_side
        )
    if path == "views":
        return paths.thinned(paths.of_views(learnt.capture.views, side), frames)
    file = at_home(Path(path))
    if not file.is_file():
        raise ConfigError(f"--path: there is no file {file}", "write orbit, views, or name a file")
    return paths.thinned(paths.from_file(file, learnt.capture, side), frames)
