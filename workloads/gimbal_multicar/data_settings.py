"""The settings of made and real data, apart from those of models.

A stage's fingerprint covers the code it reaches: whoever edits a model must not have panoramas made
anew, so stages of data import this and not `config`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gimbal.experiment.paths import at_home
from gimbal.experiment.settings import Settings

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
FolderPath = Annotated[Path, AfterValidator(at_home)]
SplitName = Literal["train", "validate", "test", "test_culvercity"]


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"each split once: {', '.join(repeated)} is named more than once")
    return names


class PanoramaSettings(Settings):
    """The panorama each car's cameras are fused into."""

    camera_model: Literal["equirectangular", "cylindrical"] = "equirectangular"
    """Rows at equal angles, or a true cylinder (vertical lines stay straight)."""
    width: Annotated[int, Field(ge=8, le=16384)] = 1008
    height: Annotated[int, Field(ge=4, le=8192)] = 168
    vfov_deg: Annotated[float, Field(gt=0, le=180)] | None = 60.0
    """Vertical angle of view in degrees: at 60 OPV2V's cameras fill every pixel. None, for a
    cylinder only: pixels that are square at the horizon."""
    blend: Literal["nearest", "feather"] = "feather"
    """Colours where cameras overlap: the closest in angle, or mixed. Depth is never mixed."""
    feather_px: Annotated[float, Field(gt=0, le=1000)] = 24.0
    """Width of the ramp at each image's border, in its own pixels."""
    view_selection_margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """A camera is asked only where the cosine of the angle to its axis exceeds this."""
    warp: Literal["auto", "rotation", "ranges", "splat", "fixed_point"] = "auto"
    """What depth is used for. `splat`, `fixed_point`: ranges and colours as the panorama's centre
    would see them. `ranges`: ranges from the centre, colours as by `rotation`; the car's own LiDAR
    goes straight into the panorama. `rotation`: ranges are the cameras' own, metres off near the
    car. auto: `splat` where half of the cameras' pixels have depth, `ranges` where fewer do or
    depth is the LiDAR's, `rotation` without any."""

    @model_validator(mode="after")
    def _has_rows(self) -> PanoramaSettings:
        if self.vfov_deg is None and self.camera_model != "cylindrical":
            raise ValueError(
                "panorama.vfov_deg: null is for camera_model: cylindrical; write degrees, such as "
                "60"
            )
        if self.camera_model == "cylindrical" and self.vfov_deg == 180:
            raise ValueError("a cylinder cannot see 180 degrees: lower panorama.vfov_deg")
        return self


class SyntheticSettings(Settings):
    """Made streets, used where `data.root` is null."""

    scenarios: Positive = 6
    """Made streets; about one in six is for validation, and one in six for the test."""
    agents: Annotated[int, Field(ge=1, le=7)] = 4
    """Cooperating cars of each scenario."""
    frames: Positive = 12
    """Moments of each scenario, .1 s apart."""


class DataSettings(Settings):
    """Where the cars come from."""

    root: FolderPath | None = None
    """Folder of OPV2V, with `train`, `validate`, `test` inside; none: made streets."""
    depth_root: FolderPath | None = None
    """Folder of depth files (`.npy`, or OPV2V-H's PNG) laid out like the root; none: see `depth`.
    A folder that does not exist is an error; one that holds no depth of the set is, too, unless
    `depth` is auto."""
    depth: Literal["auto", "npy", "opv2v_h", "lidar", "none"] = "auto"
    """auto: files where there are any, under `depth_root` or beside the images, else the car's own
    LiDAR."""
    splits: Annotated[tuple[SplitName, ...], AfterValidator(_each_once)] = (
        "train",
        "validate",
        "test",
    )
    """Those of them that exist are used; naming one that does not exist is an error only where
    none of them does."""
    reference: Literal["lidar", "ego", "box_centre"] = "lidar"
    """The car's frame and the panorama's centre."""
    road_side_units: bool = False
    """Whether agents with negative ids (V2XSet's road-side units) count as cars."""
    max_cars: Annotated[int, Field(ge=1, le=64)] = 7
    """Cars of one scenario beyond this many are left out, in the order of their ids as text."""
    min_cars: Annotated[int, Field(ge=1, le=64)] = 1
    """Moments at which fewer cars exist are left out."""
    frame_stride: Positive = 1
    """Every so many moments of a scenario."""
    legacy_crop: bool = False
    """Reproduce the source's bug: images are scaled and centre-cropped to the panorama's shape
    first, which throws away 61 % of what they show. For comparison with its figures only."""
    exposure_jitter: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Each camera's image is made brighter or darker by a factor of its own, drawn for every car
    and moment: the standard deviation of the factor's logarithm, such as .2. It keeps a model
    from trusting the seams. 0: images as they are."""
    max_bad_share: Fraction = 0.2
    """More unusable car-frames than this share stops the run."""
    cache_dir: FolderPath | None = None
    """Where parsed files and tables of rigs are kept, for later runs and other processes; none:
    `gimbal` in the user's cache folder. It never changes a result, and may be deleted."""
    panorama: PanoramaSettings = PanoramaSettings()
    synthetic: SyntheticSettings = SyntheticSettings()


class LoaderSettings(Settings):
    """How many samples a training epoch of the source's loader would hold (multicar.md A8)."""

    num_views: Annotated[tuple[Positive, ...], Field(min_length=1)] = (2, 3, 4)
    """Cars of a sample, drawn anew for each batch."""
    max_images_per_worker: Positive = 4
    """Images (cars) of one batch on one worker."""
    world_size: Positive = 1
    """Workers."""
    max_distance_m: Annotated[float, Field(gt=0)] = 60.0
    """Cars farther than this from the first are no partners."""
    samples_per_epoch: Positive | None = None
    """The source's `N @ dataset`: samples of an epoch, resampled; none: as many as there are."""
