"""The gradient report: right where the answer is known, and no verdict on what it cannot check."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from gimbal.experiment.files import atomic_write_json
from gimbal_nbv.building import render_depth
from gimbal_nbv.diagnostics import gradient_report as report
from gimbal_nbv.diagnostics.finding import Verdict
from gimbal_nbv.diagnostics.gradient_agreement import Agreement, agreement, tangents
from gimbal_nbv.diagnostics.silhouette_gradient import pytorch3d_slope_ratio, slope_ratio
from gimbal_nbv.objectives.detached import DetachedSettings
from gimbal_nbv.objectives.detached_inputs import MeshDepths, detached_states
from gimbal_nbv.reconstruction.fusion import DepthFusion
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.states import States
from gimbal_vision.poses import look_at
from gimbal_vision.rendering import BACKENDS

HEALTHY = {
    "parameters": 10.0,
    "norm": 1.0,
    "none_share": 0.0,
    "zero_share": 0.0,
    "nan_share": 0.0,
    "dead_tensors": 0.0,
    "dead": "",
    "update_ratio": 1e-3,
}
DEAD = "weight tensors without any gradient, median step"


def entries(**changes: object) -> list[dict]:
    return [{"step": 1, "modules": {"encoder": HEALTHY, "head": HEALTHY | changes}}]


def stage(cosine: float, views: int = 1, count: int = 40) -> report.StageAgreement:
    """States in which both gradients have one and the same angle."""
    sine = (1 - cosine * cosine) ** 0.5
    found = Agreement(np.tile([[1.0, 0.0]], (count, 1)), np.tile([[cosine, sine]], (count, 1)))
    return report.StageAgreement(views=views, found=found, by_object=[cosine, cosine])


def verdicts(diagnosis) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in diagnosis.checks}


# --- the comparison


class SamePicture:
    """Whatever the pose, the picture is the same: then nothing is lost by detaching it."""

    def __init__(self, depth: Tensor, intrinsics: Tensor) -> None:
        self.depth, self.intrinsics = depth, intrinsics

    def render(self, objects, poses: Tensor) -> tuple[Tensor, Tensor]:
        count = len(objects)
        return self.depth.expand(count, -1, -1), self.intrinsics.expand(count, 3, 3)


@pytest.fixture(scope="module")
def mug(small_protocol):
    mesh = make_shape("mug", 3)
    return mesh, render_depth(mesh, small_protocol)


def test_where_pictures_do_not_depend_on_the_pose_both_gradients_agree(
    mug, mug_oracle, small_protocol
):
    """Along the equator, where keeping z upwards does not roll the camera."""
    inputs = detached_states(States(mug_oracle, np.zeros((5, 1), np.int32)), mug[1])
    azimuth = torch.linspace(0, 5, 5).double()
    places = torch.stack([azimuth.cos(), azimuth.sin(), torch.zeros(5)], dim=-1)
    K = torch.from_numpy(small_protocol.cameras.K[0])
    renderer = SamePicture(torch.from_numpy(mug[1][7]), K)
    found = agreement(places, inputs, renderer, DepthFusion(), DetachedSettings())
    assert (found.cosine > 0.9).all(), found.cosine
    np.testing.assert_allclose(found.ratio, 1.0, atol=0.25)


def test_the_true_gradient_sees_what_the_detached_one_cannot(mug, mug_oracle):
    inputs = detached_states(States(mug_oracle, np.zeros((6, 1), np.int32)), mug[1])
    places = torch.nn.functional.normalize(
        torch.randn(6, 3, generator=torch.Generator().manual_seed(1)).double(), dim=-1
    )
    renderer = MeshDepths(lambda number: mug[0], image_size=32)
    found = agreement(places, inputs, renderer, DepthFusion(), DetachedSettings())
    assert found.cosine.min() < 0.9
    assert np.isfinite(found.true).all() and np.isfinite(found.detached).all()


def test_tangents_are_across_the_direction_and_each_other():
    d = torch.eye(3).double()
    axes = torch.cat([d[:, None], tangents(d)], dim=1)
    torch.testing.assert_close(axes @ axes.mT, torch.eye(3).double().expand(3, 3, 3))


def test_a_vanished_gradient_has_cosine_zero():
    found = Agreement(np.zeros((1, 2)), np.ones((1, 2)))
    assert found.cosine[0] == 0.0 and found.ratio[0] == 0.0


# --- the verdict


def test_a_healthy_report_passes_without_what_it_cannot_check():
    diagnosis = report.diagnose(entries(), [stage(0.8), stage(0.1, 2)], None, 1)
    assert diagnosis.verdict is Verdict.PASS
    found = verdicts(diagnosis)
    assert found["slope of a soft silhouette over its finite difference"] is Verdict.NOT_CHECKABLE
    assert len(diagnosis.tables) == 2 and len(diagnosis.plots) == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"dead_tensors": 1.0, "dead": "bias"}, DEAD),
        ({"nan_share": 0.1}, "share of NaN in any gradient"),
        ({"update_ratio": 0.5}, "largest update over weights, median step"),
        ({"update_ratio": 1e-8}, "smallest update over weights, median step"),
    ],
)
def test_an_unhealthy_part_fails(changes, name):
    diagnosis = report.diagnose(entries(**changes), [stage(0.8)], None, 1)
    assert {n for n, v in verdicts(diagnosis).items() if v is Verdict.FAIL} == {name}


def test_a_dead_part_is_named():
    cut = entries(dead_tensors=2.0, dead="0.weight, 0.bias")
    diagnosis = report.diagnose(cut, [stage(0.8)], None, 1)
    assert (
        "head: 0.weight" in diagnosis.checks[0].hint and "encoder" not in diagnosis.checks[0].hint
    )


def test_without_a_training_its_parts_are_not_checkable():
    diagnosis = report.diagnose([], [stage(0.8)], None, 1)
    assert [check.verdict for check in diagnosis.checks[:8]] == [Verdict.NOT_CHECKABLE] * 8
    assert diagnosis.verdict is Verdict.PASS


def test_later_stages_are_judged_only_where_the_run_trains_by_them():
    stages = [stage(0.8), stage(-0.2, 2)]
    assert report.diagnose(entries(), stages, None, 1).verdict is Verdict.PASS
    trained = report.diagnose(entries(), stages, None, 5)
    assert trained.verdict is Verdict.FAIL
    assert all("N=2" in c.name for c in trained.checks if c.verdict is Verdict.FAIL)


def test_the_median_forgives_the_ends_of_a_schedule():
    ends = [entries(update_ratio=u)[0] for u in (1e-9, 1e-3, 1e-3, 1e-12, 1e-3)]
    assert report.diagnose(ends, [stage(0.8)], None, 1).verdict is Verdict.PASS


def test_an_object_and_a_training_are_read(mug, mug_oracle, tmp_path):
    one = SimpleNamespace(object_id="mug", oracle=mug_oracle, mesh=mug[0], depth=mug[1])
    folder = tmp_path / "train"
    folder.mkdir()
    atomic_write_json(folder / "gradient_report.json", {"entries": entries()})
    config = SimpleNamespace(
        objective=SimpleNamespace(name="oracle_soft"),
        states=SimpleNamespace(longest=5),
        first_view=None,
    )
    bench = SimpleNamespace(
        seed=0,
        config=config,
        protocol=mug_oracle.protocol,
        inputs={"train": folder},
        count=lambda: 1,
        objects=lambda: iter([one]),
        folder=lambda name: folder,
    )
    seen = []
    diagnosis = report.measure(bench, lambda *args: seen.append(args))
    assert seen == [(1, 1, "objects")]
    assert diagnosis.numbers["parts"]["head"]["update_ratio"] == 1e-3
    first = diagnosis.numbers["agreement"][0]
    assert first["triples"] == report.TRIPLES and -1 <= first["cosine"] <= 1
    assert diagnosis.numbers["judged_up_to_views"] == 1


# --- silhouettes


def soft_disc(sharpness: float):
    """A ball at the origin, seen without perspective, with an outline of some softness."""
    across = torch.linspace(-1, 1, 64).double()
    y, x = torch.meshgrid(across, across, indexing="ij")

    def rendered(poses: Tensor) -> Tensor:
        centre = -(poses[:, :3, :3].mT @ poses[:, :3, 3:])[..., 0]
        u, v = centre[:, 0, None, None], centre[:, 1, None, None]
        distance = ((x - u) ** 2 + (y - v) ** 2).sqrt()
        return torch.sigmoid(sharpness * (0.4 - distance))

    return rendered


def test_a_soft_outline_has_the_slope_of_its_own_differences():
    pose = torch.from_numpy(look_at(np.array([1.0, 0.5, 0.3])))
    assert slope_ratio(soft_disc(30.0), pose) == pytest.approx(1.0, abs=0.02)


def test_a_hard_outline_has_none():
    pose = torch.from_numpy(look_at(np.array([1.0, 0.5, 0.3])))
    assert slope_ratio(lambda poses: (soft_disc(30.0)(poses) > 0.5).double(), pose) == 0.0
    assert slope_ratio(lambda poses: 0.0 * soft_disc(30.0)(poses), pose) == 0.0


def test_silhouettes_are_never_passed_unchecked(small_protocol):
    if BACKENDS["pytorch3d"].installed:
        ratio = pytorch3d_slope_ratio(small_protocol)
        assert ratio is not None and ratio == pytest.approx(1.0, abs=0.2)
    else:
        assert pytorch3d_slope_ratio(small_protocol) is None
