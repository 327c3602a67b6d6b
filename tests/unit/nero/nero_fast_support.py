"""The fast mode in double precision, as `nero_workers_support` has the published networks."""

from __future__ import annotations

from nero_ball import ball_capture
from nero_workers_support import LOSS, DoubleFields

from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.learning.settings import RaySettings, ScheduleSettings
from gimbal_nero.learning.task import ShapePlan, ShapeTask

MODEL = ModelSettings(
    size="fast",
    dual=True,
    grid={"levels": 2, "features": 2, "coarsest": 5, "finest": 9, "width": 16},
    heads={"layers": 1, "width": 8},
    background={"layers": 2, "width": 8},
    sampling={"uniform": 16, "per_round": 5, "background": 3, "cache": 8, "cache_every": 2},
)


def make_fast_task():
    """All terms on; the cache is asked anew before the first, third and fifth step."""
    plan = ShapePlan(
        loss=LOSS.model_copy(update={"dual_from_step": 2, "eikonal_uniform_points": 1}),
        schedule=ScheduleSettings(anneal_steps=4, variance_frozen_steps=2, detail_steps=3),
        rays=RaySettings(validation_scale=0.5),
        seed=3,
    )
    return ShapeTask(plan, DoubleFields(MODEL), ball_capture())
