"""A shape of networks in double precision, trained alone or by a group of processes without Ray."""

from __future__ import annotations

import multiprocessing as mp
import os
import traceback

import numpy as np
import torch
from nero_ball import ball_capture

from gimbal.training import checkpoints
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.worker import train
from gimbal.training.world import World
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.learning.task import ShapePlan, ShapeTask
from gimbal_nero.material.fit_settings import FitSettings
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.material.task import MaterialPlan, MaterialTask
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_nero.volume.shape import ShapeFields
from gimbal_vision.meshes import Mesh

MODEL = ModelSettings(
    size="tiny",
    photographer="standing",
    sdf={"layers": 2, "width": 16},
    heads={"layers": 1, "width": 8},
    background={"layers": 2, "width": 8},
    sampling={"uniform": 12, "rounds": 1, "per_round": 6, "background": 3},
)
NETWORKS = MaterialSettings(size="tiny", half_layers=1, width=16, heads={"layers": 1, "width": 16})
LOSS = LossSettings(
    occlusion_from_step=1, occlusion_band=0.05, mask_weight=0.1, eikonal_from_step=1, prior_steps=3
)
TRAIN = TrainSettings(
    steps=5,
    global_batch=13,
    optimizer="adam",
    lr=5e-3,
    warmup_steps=1,
    clip_norm=None,
    validate_every=5,
    checkpoint_every=5,
    best_metric="psnr",
    best_mode="max",
    log_every=1,
)


class DoubleFields(ShapeFields):
    """In single precision another order of sums would show."""

    def build(self):
        module, _ = super().build()
        module = module.double()
        return module, [{"params": list(module.parameters()), "name": "shape"}]


def make_task():
    """All terms on, each beginning at its own step; 13 rays do not divide by 2 or 3."""
    plan = ShapePlan(
        loss=LOSS,
        schedule=ScheduleSettings(anneal_steps=4, variance_frozen_steps=2),
        rays=RaySettings(validation_scale=0.5),
        seed=3,
        photographer=MODEL.photographer,
    )
    return ShapeTask(plan, DoubleFields(MODEL), ball_capture())


class DoubleMaterial(MaterialTask):
    """Likewise of a material."""

    def build(self):
        module, _ = super().build()
        module = module.double()
        return module, [{"params": list(module.parameters()), "name": "material"}]


def make_material_task():
    """A ball and a smaller one beside it, so that light from the object is there, too."""
    import trimesh

    balls = [trimesh.creation.icosphere(subdivisions=2, radius=radius) for radius in (0.6, 0.25)]
    balls[1].apply_translation([0.0, 0.0, 0.95])
    joined = trimesh.util.concatenate(balls)
    fit = FitSettings(networks=NETWORKS, train=TRAIN, validation_scale=0.5)
    plan = MaterialPlan(
        fit=fit,
        points=PointSettings(follow_masks=False),
        mc=EstimatorSettings(diffuse_samples=6, specular_samples=6),
        seed=3,
        photographer="standing",
    )
    mesh = Mesh(np.asarray(joined.vertices), np.asarray(joined.faces, np.int32))
    return DoubleMaterial(plan, ball_capture(), mesh)


def train_alone(folder, largest=None, make=make_task):
    """Train in this process and return the final weights as one vector."""
    torch.set_num_threads(1)
    train(make(), plan_of(folder, largest), World())
    return weights(folder)


def train_together(size, folder, make=make_task):
    """Train in `size` processes and return the final weights; a failed worker fails the test."""
    meeting = folder.with_name(f"meeting-{size}")
    context = mp.get_context("spawn")
    members = [
        context.Process(target=_member, args=(rank, size, str(meeting), folder, make))
        for rank in range(size)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join(200)
    assert [member.exitcode for member in members] == [0] * size
    return weights(folder)


def plan_of(folder, largest=None):
    return Plan(settings=TRAIN, seed=3, out_dir=folder, largest=largest)


def weights(folder):
    state = checkpoints.load(checkpoints.best(folder))["model"]
    return torch.cat([value.double().flatten() for value in state.values()])


def _member(rank, size, meeting, folder, make):
    torch.set_num_threads(1)
    try:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size
        )
        train(make(), plan_of(folder), World(rank=rank, size=size))
        torch.distributed.destroy_process_group()
    except Exception:
        traceback.print_exc()
        os._exit(1)
