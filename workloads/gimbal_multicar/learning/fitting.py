"""Which settings of a training fit together; what cannot have an effect is refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from pydantic import BaseModel

from gimbal_multicar.learning.settings import (
    GivenSettings,
    JudgeSettings,
    LossSettings,
    ModelSettings,
    PriorSettings,
    SampleSettings,
)
from gimbal_vision.multiview.losses.presets import PRESETS, TERMS
from gimbal_vision.multiview.shape import SIZES, ModelShape

VIEWS_OF_A_CAR = {"panoramas": 1, "cameras": 4, "fused_cameras": 4}
"""Pictures of a car that one forward pass holds."""
INIT_FROM = "model.init_from"
TOLD_BY = {"rays": "ray_dirs_prob", "depth": "depth_prob", "pose": "cam_prob"}
"""Key of `model.given` that tells in training what `evaluate.told` names; `all` is all three."""
A_CHECKPOINT = (
    "a checkpoint's folder, such as runs/EXPERIMENT/RUN/stages/train/checkpoints/step-00000500"
)


_PAIR = 2


def shape_of(settings: ModelSettings) -> ModelShape:
    """Return the size that is named, with the keys that are set replaced."""
    names = {field.name for field in fields(ModelShape)}
    given = {name: value for name, value in settings if name in names and value is not None}
    return replace(SIZES[settings.size], **given)


def samples_at_once(samples: SampleSettings) -> int | None:
    """Return how many samples one forward pass may hold; None: any number."""
    if samples.max_views_per_worker is None:
        return None
    return max(1, samples.max_views_per_worker // views_of_a_sample(samples))


def views_of_a_sample(samples: SampleSettings) -> int:
    """Return how many views the largest sample has."""
    return samples.max_cars * VIEWS_OF_A_CAR[samples.views]


def fitting_sides(side: int, patch: int) -> str:
    """Return the nearest sides that are whole patches, in words."""
    below, above = side // patch * patch, -(-side // patch) * patch
    return f"{below} or {above}" if below else f"{above}"


def problems(samples: SampleSettings, model: ModelSettings, loss: LossSettings) -> Iterator[str]:
    """Yield what is wrong with settings as a whole, each with what to write instead."""
    yield from _sample_problems(samples)
    yield from _model_problems(model)
    yield from _given_problems(model.given)
    yield from _prior_problems(model.priors, samples)
    if samples.views != "fused_cameras":
        yield from _idle(model, "model", ("fusion",), f"samples.views: {samples.views}")
    yield from _loss_problems(loss, matches=shape_of(model).pose_head == "matching")


def size_problem(key: str, width: int, height: int, patch: int) -> str | None:
    """Return what is wrong with an image's size, or None."""
    for name, side in (("width", width), ("height", height)):
        if side % patch:
            return (
                f"{key}.{name} ({side}) is no multiple of the model's patch ({patch}): write "
                f"{fitting_sides(side, patch)}, or set model.patch to a divisor of both sides"
            )
    return None


def _sample_problems(samples: SampleSettings) -> Iterator[str]:
    if samples.max_cars < samples.min_cars:
        yield (
            f"samples.max_cars ({samples.max_cars}) is below samples.min_cars "
            f"({samples.min_cars}): raise max_cars or lower min_cars"
        )
    if samples.max_cars < _PAIR:
        yield "samples.max_cars: 1 leaves no partner, so no pose, to learn from: write 2 or more"
    if samples.num_cars is not None and min(samples.num_cars) < _PAIR:
        yield (
            f"samples.num_cars {list(samples.num_cars)} shows the main car alone at some steps, "
            "which teaches no pose: write numbers of 2 or more"
        )
    if samples.num_cars is not None and max(samples.num_cars) > samples.max_cars:
        yield (
            f"samples.num_cars shows {max(samples.num_cars)} cars, samples.max_cars has only "
            f"{samples.max_cars}: raise max_cars or drop the number"
        )
    limit, needed = samples.max_views_per_worker, views_of_a_sample(samples)
    if limit is not None and limit < needed:
        yield (
            f"samples.max_views_per_worker ({limit}) is below what one sample of "
            f"{samples.max_cars} cars needs: write {needed} or more, or lower samples.max_cars"
        )
    if samples.roll and samples.views != "panoramas":
        yield f"samples.roll: true has no effect with samples.views: {samples.views}: leave it out"
    if samples.views == "panoramas":
        yield from _idle(samples, "samples", ("camera_view",), "samples.views: panoramas")


def _model_problems(model: ModelSettings) -> Iterator[str]:
    shape = shape_of(model)
    for width, heads in (("encoder_dim", "encoder_heads"), ("dim", "heads")):
        if getattr(shape, width) % getattr(shape, heads):
            yield (
                f"model.{width} ({getattr(shape, width)}) must be divisible by model.{heads} "
                f"({getattr(shape, heads)})"
            )
    if not 0 <= shape.taps[0] < shape.taps[1] < shape.layers:
        yield (
            f"model.taps {list(shape.taps)} must be two of the trunk's {shape.layers} blocks, "
            f"counted from 0, such as [{(shape.layers - 1) // 3}, {2 * shape.layers // 3}]"
        )
    if shape.stem and shape.encoder != "vit":
        yield f"model.stem has no effect with model.size: {model.size}: leave it out"
    if model.train_only == "heads":
        if model.init_from is None:
            yield (
                "model.train_only: heads would train heads on random features: name weights in "
                "model.init_from, or use train_only: all"
            )
        yield from _idle(model, "model", ("encoder_lr_share",), "model.train_only: heads")


def _given_problems(given: GivenSettings) -> Iterator[str]:
    names = tuple(name for name in GivenSettings.model_fields if name != "preset")
    told = given.overall_prob and given.dropout_prob is not None and given.dropout_prob < 1.0
    if given.preset == "images_only" and not told:
        where = "model.given.preset: images_only without overall_prob and dropout_prob"
        yield from _idle(given, "model.given", names, where)


def told_problems(judge: JudgeSettings, given: GivenSettings) -> Iterator[str]:
    """Yield why a judgement cannot tell the model what it was never told in training."""
    if not judge.told:
        return
    from gimbal_multicar.learning.drawing import probabilities_of

    found = probabilities_of(given)
    never = [
        f"{name} (model.given.{key})"
        for name, key in TOLD_BY.items()
        if {name, "all"} & set(judge.told) and (found is None or not getattr(found, key))
    ]
    if never:
        yield (
            f"evaluate.told {list(judge.told)} tells {', '.join(never)}, which model.given.preset: "
            f"{given.preset} never tells in training: leave it out, or choose another preset, such "
            "as aug_training"
        )


def start_problem(model: ModelSettings) -> str | None:
    """Return what is wrong with the place of weights to start from, or None."""
    start = model.init_from
    return None if start is None or start.exists() else f"{INIT_FROM}: there is nothing at {start}"


def _prior_problems(priors: PriorSettings, samples: SampleSettings) -> Iterator[str]:
    where = f"samples.views: {samples.views}"
    agents = tuple(name for name in PriorSettings.model_fields if name.startswith("agent_"))
    if samples.views != "fused_cameras":
        yield from _idle(priors, "model.priors", ("use_rel_pose_prior",), where)
    if samples.views == "cameras":
        yield from _idle(priors, "model.priors", ("use_agent_pose_prior", *agents), where)
    elif not priors.use_agent_pose_prior:
        yield from _idle(priors, "model.priors", agents, "use_agent_pose_prior: false")


def _loss_problems(loss: LossSettings, *, matches: bool) -> Iterator[str]:
    unknown = sorted(set(loss.weights) - set(TERMS))
    if unknown:
        yield (
            f"loss.weights names {', '.join(unknown)}, which is no term: the terms are "
            f"{', '.join(TERMS)}"
        )
        return
    weights = {**PRESETS[loss.preset].weights.by_name(), **loss.weights}
    if not matches:
        where = "any model.pose_head but matching"
        yield from _idle(loss, "loss", ("match_weight",), where)
    elif not loss.match_weight:
        yield (
            "loss.match_weight: 0 with model.pose_head: matching would never teach what matches: "
            "give it a weight, or choose another head"
        )
    if not matches and not any(weights.values()):
        yield "loss.weights are all 0: nothing would be trained; give one term a weight"
    if weights["mask"] == 0.0:
        yield from _idle(loss, "loss", ("mask_pos_weight",), "loss.weights.mask: 0")


def _idle(settings: BaseModel, prefix: str, keys: Sequence[str], where: str) -> Iterator[str]:
    """Yield the keys that were set and cannot matter."""
    for key in keys:
        if getattr(settings, key) != type(settings).model_fields[key].default:
            yield f"{prefix}.{key} has no effect with {where}: leave it out"
