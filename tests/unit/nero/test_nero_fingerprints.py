"""What changes no result has no stage run again; hours of training must survive an edited report.

The other way round, too: what decides a shape enters its fingerprint.
"""

from __future__ import annotations

import pytest

from gimbal.experiment.fingerprint import stage_code, stage_fingerprint
from gimbal_nero.config import NeroConfig
from gimbal_nero.stages.judging import judge_stage
from gimbal_nero.stages.meshing import mesh_stage
from gimbal_nero.stages.shaping import shape_stage
from gimbal_nero.stages.watching import watch_stage

TRAIN = {"steps": 10, "global_batch": 4}
AFTER = ("watching", "meshing", "judging", "report", "commands", "config", "workload", "cli")
CODE = {"a.py": "0"}


def configured(**changed):
    return NeroConfig.model_validate({"experiment": "x", "train": TRAIN, **changed})


def watching(config):
    return watch_stage(config.watch, config.model, config.seed)


def parts_of(stage):
    """Second parts of the names of the workload's modules that a stage runs."""
    return {
        name.split("gimbal_nero", 1)[1].strip("./").replace("/", ".").split(".")[0]
        for name in stage_code(stage)
        if "gimbal_nero" in name
    }


def test_no_code_of_what_comes_after_has_a_shape_learnt_anew():
    found = parts_of(shape_stage(configured()))
    assert {"learning", "fields", "volume"} <= found, "the check could fail"
    assert not found & set(AFTER)


@pytest.mark.parametrize(
    ("make", "others"),
    [(mesh_stage, {"watching", "judging"}), (judge_stage, {"watching"}), (watching, {"judging"})],
)
def test_stages_that_look_do_not_depend_on_each_others_code(make, others):
    assert not parts_of(make(configured())) & (others | {"config", "workload", "report"})


def identity(stage):
    inputs = dict.fromkeys(stage.inputs, "0" * 64)
    return stage_fingerprint(stage, inputs, code=CODE).digest


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (shape_stage, {"rays": {"rays_at_once": 77}}),
        (shape_stage, {"watch": {"strips": 1}, "mesh": {"resolution": 32}}),
        (watching, {"watch": {"must_pass": False, "rays_at_once": 77}}),
        (mesh_stage, {"evaluate": {"voxel": 0.02}}),
    ],
)
def test_what_changes_no_number_changes_no_fingerprint(make, changed):
    assert identity(make(configured())) == identity(make(configured(**changed)))


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (shape_stage, {"seed": 1}),
        (shape_stage, {"model": {"photographer": "standing"}}),
        (shape_stage, {"loss": {"eikonal_weight": 0.2}}),
        (shape_stage, {"rays": {"foreground_share": 0.5}}),
        (shape_stage, {"rays": {"validation_scale": 0.5}}),
        (shape_stage, {"schedule": {"anneal_steps": 3}}),
        (mesh_stage, {"mesh": {"resolution": 32}}),
        (watching, {"watch": {"rays_per_view": 16}}),
        (judge_stage, {"evaluate": {"voxel": 0.02}}),
    ],
)
def test_what_changes_a_number_changes_the_fingerprint(make, changed):
    assert identity(make(configured())) != identity(make(configured(**changed)))
