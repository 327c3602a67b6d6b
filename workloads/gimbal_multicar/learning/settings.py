"""Which samples, which model, which loss: the settings of a training on cooperating cars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gimbal.experiment.paths import at_home
from gimbal.experiment.settings import Settings

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=1_000.0)]
FilePath = Annotated[Path, AfterValidator(at_home)]
ViewKind = Literal["panoramas", "cameras", "fused_cameras"]


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"name each once: {', '.join(repeated)} is there more than once")
    return names


class CameraViewSettings(Settings):
    """The cars' own pictures, for `samples.views: cameras` and `fused_cameras`."""

    width: Annotated[int, Field(ge=14, le=4096)] = 112
    """Pixels; a picture is scaled to it whole, its angle of view kept."""
    height: Annotated[int, Field(ge=14, le=4096)] = 84


class SampleSettings(Settings):
    """Which cars make a sample, and what a view is."""

    views: ViewKind = "panoramas"
    """`panoramas`: n cars, n views; `cameras`: n cars, 4n views; `fused_cameras`: n cars, their
    four pictures fused as features inside the model."""
    max_distance_m: Annotated[float, Field(gt=0)] = 60.0
    """Cars farther than this from the main one are no partners."""
    min_cars: Annotated[int, Field(ge=1, le=64)] = 2
    max_cars: Annotated[int, Field(ge=1, le=64)] = 4
    num_cars: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """In training, how many of a sample's cars are shown is drawn from these for each step and
    sample; none: all of them. Validation and evaluation always show all."""
    main: Literal["first", "each"] = "each"
    """In training: one sample a moment, or one for every car as the main one. Held-out samples
    always have the first car as the main one."""
    roll: bool | None = None
    """In training, turn every panorama, and the car's frame with it, by a random number of columns:
    exact, since a panorama has no seam. None: with `views: panoramas` alone, as nothing else can
    be turned."""
    camera_view: CameraViewSettings = CameraViewSettings()
    max_views_per_worker: Positive | None = None
    """Views of one forward pass on one worker; a larger share of the batch is accumulated. None:
    as many as the share has."""


class GivenSettings(Settings):
    """With what probability the model is told geometry in training (multicar.md A4)."""

    preset: Literal[
        "images_only", "aug_training", "calibrated_sfm", "posed_sfm", "mvs", "depth_completion",
        "registration",
    ] = "images_only"  # fmt: skip
    """The published tasks. Keys below, where set, replace the preset's numbers."""
    overall_prob: Probability | None = None
    dropout_prob: Probability | None = None
    ray_dirs_prob: Probability | None = None
    depth_prob: Probability | None = None
    cam_prob: Probability | None = None
    sparse_depth_prob: Probability | None = None
    depth_scale_norm_all_prob: Probability | None = None
    pose_scale_norm_all_prob: Probability | None = None


class PriorSettings(Settings):
    """Priors of the fused cameras (multicar.md plan 2); off unless asked for."""

    use_agent_pose_prior: bool = False
    """Tell the model each car's pose, as noisy as GPS; a learned correction is added to it."""
    agent_pose_noise_m: Annotated[float, Field(ge=0)] = 1.0
    agent_pose_noise_deg: Annotated[float, Field(ge=0)] = 2.0
    agent_pose_missing: Probability = 0.2
    """Share of cars whose prior is withheld in training."""
    use_rel_pose_prior: bool = False
    """Tell the model where each camera sits on its car."""


class ModelSettings(Settings):
    """The multi-view model; keys that are null keep the size's own number."""

    size: Literal["tiny", "v1", "v1_1"] = "tiny"
    patch: Annotated[int, Field(ge=2, le=64)] | None = None
    stem: tuple[Positive, ...] | None = None
    encoder_dim: Positive | None = None
    encoder_layers: Positive | None = None
    encoder_heads: Positive | None = None
    dim: Positive | None = None
    layers: Positive | None = None
    heads: Positive | None = None
    taps: tuple[int, int] | None = None
    dense_head: Literal["dpt", "light"] | None = None
    dense_dim: Positive | None = None
    geometric_dims: tuple[Positive, Positive, Positive] | None = None
    pose_hidden: Positive | None = None
    pose_head: Literal["pooled", "attention", "matching"] | None = None
    """`matching` needs upright cameras, and learns poses from a tenth of the samples."""
    fusion: Literal["attention", "stacked", "conv3d"] = "attention"
    """How `samples.views: fused_cameras` makes one view of a car's pictures: patches of the
    panorama ask the pictures' tokens; all channels go through one patch embedding; or tokens are
    convolved over the cameras. The last two start as the mean over the cameras."""
    agent_embedding: bool = False
    """Tell the model which car a view is of, by its place in the sample (the main car, then nearest
    first): a learned vector for each of `samples.max_cars`, zero at the start."""
    given: GivenSettings = GivenSettings()
    priors: PriorSettings = PriorSettings()
    checkpoint_encoder: bool = False
    """Recompute the encoder's activations in the backward pass: less memory, more time."""
    checkpoint_trunk: bool = False
    checkpoint_heads: bool = False
    encoder_lr_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The encoder's learning rate over `train.lr`; .05 is usual for pretrained weights."""
    train_only: Literal["all", "heads"] = "all"
    """`heads` freezes everything else."""
    init_from: FilePath | None = None
    """A checkpoint folder of an earlier training, or a file of weights, to start from; loaded with
    map_location cpu. For another `patch` the patch embedding is made to fit, and layers that have a
    number for each pixel of a patch start at random, which is said; all else that does not fit is
    an error that names it."""


class LossSettings(Settings):
    """What is minimised (multicar.md A6)."""

    preset: Literal["overall", "pose_first", "v1_1"] = "overall"
    """`overall`: all 1, normals and gradients 3, mask .3; `pose_first`: poses 3 and pairwise poses
    as well; `v1_1`: the later release's."""
    weights: Mapping[str, Weight] = Field(default_factory=dict)
    """Replace the preset's weight of a term."""
    match_weight: Weight = 20.0
    """Weight of matching patches, for `model.pose_head: matching`."""
    mask_pos_weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of positive pixels in the mask's cross entropy, against an all-zero answer."""
    solid_angle: bool = True
    """Weigh pixels by the solid angle they cover."""


class JudgeSettings(Settings):
    """How the held-out samples are judged."""

    split: Literal["validate", "test", "test_culvercity"] = "test"
    bootstrap: Positive = 2000
    """Draws of scenarios for each interval."""
    device: Literal["cpu", "cuda"] = "cpu"
    """`cuda` takes one card while samples are judged: worth it from size v1 on."""
    cloud_points: Positive = 50_000
    """Points of a sample's clouds that are compared, drawn where there are more."""
    told: Annotated[
        tuple[Literal["rays", "depth", "pose", "all"], ...], AfterValidator(_each_once)
    ] = ()
    """Judge again, beside images alone, with these told as well: for models that were told them in
    training (`model.given`)."""
    require_better: bool = False
    """End the run as failed unless poses are better than the best constant of the training split
    and than the blind control, both beyond doubt, and the mask is learnt. Off, the same is said
    and nothing fails: a smoke run learns nothing."""
    shown: Annotated[int, Field(ge=0, le=64)] = 4
    """Samples whose predictions are kept and drawn in the report: best to worst, evenly."""
