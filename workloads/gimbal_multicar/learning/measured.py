"""What a validation measures, by name, so that a config can be held against it."""

from __future__ import annotations

from collections.abc import Iterator

from gimbal.training.settings import TrainSettings
from gimbal_multicar.learning.fitting import shape_of
from gimbal_multicar.learning.settings import ModelSettings, SampleSettings
from gimbal_vision.multiview.losses.presets import MATCH_READINGS, READINGS, TERMS

PREFIX = "blind/"
"""What the terms of the blind twin begin with."""
TOLD = "told/"
"""What numbers begin with for which the model was told its priors of where cars are."""
TOLD_TERMS = ("pose_trans_m", "pose_rot_deg", "range_rel")
POSE_TERMS = ("pose_quats", "pose_trans", "pose_trans_m", "pose_rot_deg")
NAMES = {
    "range_rel": "depth_rel",
    "blind/pose_trans_m": "blind_m",
    "blind/pose_rot_deg": "blind_rot_deg",
}
"""What a validation calls a term that stands for a number people know."""
OF_PICTURES = {
    f"{prefix}pose_{what}": f"{prefix}view_{what}"
    for prefix in ("", PREFIX)
    for what in ("trans_m", "rot_deg")
}
"""What errors of pictures' poses are called where a view is one: cars are what is compared."""


def measured_names(samples: SampleSettings, model: ModelSettings) -> tuple[str, ...]:
    """Return what a validation of such a training measures, sorted."""
    by_picture = samples.views == "cameras"
    matching = ("match", *MATCH_READINGS) if shape_of(model).pose_head == "matching" else ()
    terms = (*TERMS, *READINGS, *matching, *(PREFIX + name for name in POSE_TERMS))
    called = NAMES | OF_PICTURES if by_picture else NAMES
    cars = [NAMES.get(name, name) for name in OF_PICTURES] if by_picture else []
    told = TOLD_TERMS if model.priors.use_agent_pose_prior else ()
    cars += [TOLD + called.get(name, name) for name in told]
    return tuple(sorted({"loss", *cars, *(called.get(name, name) for name in terms)}))


def metric_problems(
    train: TrainSettings | None, samples: SampleSettings, model: ModelSettings
) -> Iterator[str]:
    """Yield what is wrong with the number that names the best checkpoint."""
    wanted = None if train is None else train.best_metric
    known = measured_names(samples, model)
    if wanted is not None and wanted not in known:
        yield f"train.best_metric: {wanted} is not measured; write one of {', '.join(known)}"
