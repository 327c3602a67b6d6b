"""Rays are those of the photographs, terms add up however a batch is shared, a ball is learnt."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from nero_ball import INK, RADIUS, BallFields, ball_capture, ball_view

from gimbal.training.task import Source, TrainTask
from gimbal_nero.errors import CaptureError
from gimbal_nero.learning.quality import psnr_db, ssim
from gimbal_nero.learning.rays import RaySource, ViewSource
from gimbal_nero.learning.schedules import moment_at, prior_factor, term_weights_at
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.learning.task import ShapePlan, ShapeTask
from gimbal_nero.learning.terms import (
    colour_term,
    mask_term,
    points_in_sphere,
    prior_outside_term,
)

EARLY = LossSettings(
    occlusion_from_step=2, occlusion_band=0.08, mask_weight=0.1, prior_weight=0.5, prior_steps=100
)


def make_task(loss=EARLY, masked=True, **rays):
    settings = RaySettings(validation_scale=0.5, **rays)
    plan = ShapePlan(loss=loss, schedule=ScheduleSettings(), rays=settings, seed=3)
    return ShapeTask(plan, BallFields(), ball_capture(masked))


def batch_of(task, ids):
    found = task.source("train").fetch(np.asarray(ids))
    return {k: torch.as_tensor(v) for k, v in found.items()} | {"sample_ids": torch.as_tensor(ids)}


def test_the_task_and_its_sources_are_what_the_platform_asks_for():
    task = make_task()
    assert isinstance(task, TrainTask)
    assert isinstance(task.source("train"), Source) and isinstance(task.source("val"), Source)


def test_a_ray_goes_through_the_centre_of_its_pixel():
    """Projecting a point of every ray gives back its pixel's centre, in views of two sizes."""
    views = ball_capture().of("train")
    source = RaySource(views)
    ids = np.random.default_rng(0).permutation(len(source))[:400]
    rays = source.fetch(ids)
    assert set(rays["view"]) == set(range(5))
    for ray in range(len(ids)):
        view = views[rays["view"][ray]]
        point = rays["origins"][ray] + 2.0 * rays["directions"][ray].astype(np.float64)
        camera = np.linalg.inv(view.cam2world) @ [*point, 1.0]
        pixel, _ = view.camera.project(camera[:3])
        row, column = divmod(int(rays["pixel"][ray]), view.camera.width)
        np.testing.assert_allclose(pixel, [column + 0.5, row + 0.5], atol=1e-4)
        np.testing.assert_array_equal(rays["rgb"][ray] * 255, view.image[row, column])
        assert rays["mask"][ray] == view.mask[row, column]


def test_every_pixel_is_an_index_once_and_named():
    source = RaySource(ball_capture().of("train"))
    found = source.fetch(np.arange(len(source)))
    pairs = set(zip(found["view"].tolist(), found["pixel"].tolist(), strict=True))
    assert len(pairs) == len(source) == sum(v.image.size // 3 for v in ball_capture().of("train"))
    assert source.names(np.array([0, 27, 24 * 26])) == ["v0:0,0", "v0:1,1", "v1:0,0"]


def test_a_share_of_the_rays_is_put_on_the_object():
    source = RaySource(ball_capture().of("train"), 0.7)
    masks = source.fetch(np.arange(len(source)))["mask"]
    assert np.mean(masks == 1) == pytest.approx(0.7, abs=1e-3)
    plain = RaySource(ball_capture().of("train"))
    assert np.mean(plain.fetch(np.arange(len(plain)))["mask"] == 1) < 0.4, "the check could fail"


def test_reduced_views_keep_their_rays():
    """The ball's outline stays where the reduced camera sees it."""
    view = ball_view("v", (1.0, 0.0, 0.2), side=48)
    small = ViewSource([view], 0.5).fetch(np.array([0]))
    along = -(small["origins"] * small["directions"]).sum(-1)
    hit = (9.0 - along**2 <= RADIUS**2).reshape(small["image"].shape[:2])
    differs = hit != (small["image"][..., 0] > 128)
    assert differs.mean() < 0.02 and hit.mean() > 0.1


@pytest.mark.parametrize("step", [0, 2, 40, 200])
def test_terms_add_up_however_the_batch_is_shared_out(step):
    """The spine's law: sums and counts of pieces, in any order, are those of the whole."""
    task = make_task()
    module, _ = task.build()
    ids = np.random.default_rng(1).permutation(len(task.source("train")))[:64]
    whole = task.loss(module, batch_of(task, ids), step)
    pieces = [
        task.loss(module, batch_of(task, part), step)
        for part in np.split(ids[::-1].copy(), [5, 30])
    ]
    assert set(whole) == set(task.term_weights(step))
    for name, (total, count) in whole.items():
        assert float(sum(p[name][1] for p in pieces)) == float(count), name
        torch.testing.assert_close(
            sum(p[name][0] for p in pieces), total, rtol=1e-12, atol=1e-12, msg=name
        )
    counted = {name for name, (_, count) in whole.items() if count > 0}
    assert ("occlusion" in counted) == (step >= 2)
    assert ("prior_inside" in counted) == (step < 100)


def test_a_ray_draws_other_numbers_at_another_step():
    task = make_task()
    module, _ = task.build()
    batch = batch_of(task, np.arange(0, 600, 9))
    first, second = (
        float(task.loss(module, batch, step)["mask"][0].detach()) for step in (300, 301)
    )
    assert first != second
    assert first == float(task.loss(module, batch, 300)["mask"][0].detach())


def test_slopes_are_also_asked_at_points_of_the_sphere_that_belong_to_rays():
    """Evenly in volume: half of them lie beyond radius 2^(-1/3), and none beyond 1."""
    drawn = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    radius = points_in_sphere(drawn).norm(dim=-1)
    assert float(radius.max()) <= 1.0
    assert float((radius > 0.5 ** (1 / 3)).double().mean()) == pytest.approx(0.5, abs=0.03)
    assert points_in_sphere(drawn).mean(0).abs().max() < 0.05
    plain, more = make_task(), make_task(changed(EARLY, eikonal_uniform_points=3))
    module, _ = plain.build()
    batch = batch_of(plain, np.arange(0, 300, 7))
    few, many = (int(task.loss(module, batch, 5)["eikonal"][1]) for task in (plain, more))
    assert many == few + 3 * len(batch["sample_ids"])
    pieces = [more.loss(module, batch_of(more, ids), 5) for ids in ([0, 7], [14])]
    whole = more.loss(module, batch_of(more, [0, 7, 14]), 5)["eikonal"]
    torch.testing.assert_close(sum(p["eikonal"][0] for p in pieces), whole[0])


def test_no_more_samples_of_a_ray_are_traced_than_asked():
    task = make_task(changed(EARLY, occlusion_points_per_ray=1, occlusion_band=0.2))
    more = make_task(changed(EARLY, occlusion_points_per_ray=3, occlusion_band=0.2))
    module, _ = task.build()
    batch = batch_of(task, np.arange(300, 364))
    single = float(task.loss(module, batch, 5)["occlusion"][1])
    assert 0 < single <= 64
    assert single < float(more.loss(module, batch, 5)["occlusion"][1]) <= 3 * single


def changed(settings, **changes):
    return settings.model_copy(update=changes)


def test_a_ball_is_learnt_from_its_photographs():
    """Radius, colours and the said occlusion arrive at the truth, and held-out PSNR rises."""
    task = make_task()
    torch.manual_seed(0)
    module, groups = task.build()
    optimizer = torch.optim.Adam(groups, lr=0.02)
    before = numbers(task, module)
    order = np.random.default_rng(0)
    for step in range(150):
        ids = order.integers(len(task.source("train")), size=128)
        optimizer.zero_grad()
        weights = task.term_weights(step)
        found = task.loss(module, batch_of(task, ids), step)
        loss = sum(weights[n] * total / max(float(c), 1.0) for n, (total, c) in found.items())
        loss.backward()
        optimizer.step()
    ball = {name: value.detach() for name, value in module.named_parameters()}
    assert float(ball["radius"]) == pytest.approx(RADIUS, abs=0.05)
    assert float(ball["ink"][0]) == pytest.approx(INK / 255, abs=0.03)
    assert abs(float(ball["said"])) < 0.05
    after = numbers(task, module)
    assert after["psnr"] > before["psnr"] + 5 and after["ssim"] > before["ssim"]


def numbers(task, module):
    with torch.no_grad():
        pairs = task.validate(module, task.source("val"))
    return {name: total / count for name, (total, count) in pairs.items()}


def test_rays_at_once_change_no_validation():
    one, many = make_task(rays_at_once=17), make_task(rays_at_once=4096)
    module, _ = one.build()
    assert numbers(one, module) == pytest.approx(numbers(many, module), rel=1e-12)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: make_task(masked=False), "loss.mask_weight"),
        (lambda: make_task(LossSettings(), masked=False, foreground_share=0.5), "foreground_share"),
        (lambda: ViewSource([ball_view("v", (1.0, 0.0, 0.0))], 0.1), "rays.validation_scale"),
        (lambda: RaySource([]), "no view"),
    ],
)
def test_what_cannot_be_learnt_is_named_before_a_step(build, words):
    with pytest.raises(CaptureError, match=words):
        build()


def test_colour_losses_are_their_formulas():
    said, target = torch.tensor([[0.3, 0.5, 0.9]]), torch.tensor([[0.1, 0.5, 1.0]])
    mask = torch.tensor([1])
    expected = {
        "charbonnier": math.sqrt(0.04 + 0.01 + 1e-3),
        "l1": 0.1,
        "l2": 0.05 / 3,
    }
    for kind, value in expected.items():
        total, count = colour_term(said, target, mask, LossSettings(colour=kind))
        assert float(total) == pytest.approx(value, rel=1e-5) and int(count) == 1
    off = colour_term(said, target, torch.tensor([0]), LossSettings(masked_colour=True))
    assert float(off[0]) == 0.0 and int(off[1]) == 0


def test_opaque_rays_beside_the_mask_cost_and_unknown_ones_do_not():
    opacity = torch.tensor([1.0, 1.0, 0.5, 0.0])
    total, count = mask_term(opacity, torch.tensor([1, 0, 1, 2]))
    assert int(count) == 3
    assert float(total) == pytest.approx(-math.log(1e-4) - math.log(0.5) + 1e-4, rel=1e-3)


def test_the_prior_outside_is_a_mean_over_what_breaks_it():
    points = torch.tensor([[1.1, 0, 0], [1.15, 0, 0]])
    total, count = prior_outside_term(points, torch.tensor([0.0, 0.2]))
    assert float(total) == pytest.approx(0.05, rel=1e-4) and int(count) == 1


def test_schedules_are_the_published_ones():
    schedule = ScheduleSettings()
    assert moment_at(schedule, 25_000).anneal == 0.5 and moment_at(schedule, 10**6).anneal == 1.0
    assert not moment_at(schedule, 14_999).variance_trains
    assert moment_at(schedule, 15_000).variance_trains
    loss = LossSettings()
    assert prior_factor(loss, 0) == 1.0 and prior_factor(loss, 500) == pytest.approx(0.5)
    assert prior_factor(loss, 1000) == 0.0
    assert term_weights_at(loss, 19_999)["occlusion"] == 0.0
    assert term_weights_at(loss, 20_000)["occlusion"] == 1.0
    late = loss.model_copy(update={"prior_from_step": 30_000})
    assert term_weights_at(late, 29_999)["prior_inside"] == 0.0
    assert term_weights_at(late, 30_000)["prior_inside"] == 1.0


def test_quality_of_known_pictures():
    true = np.random.default_rng(0).integers(0, 200, (16, 18, 3)).astype(np.uint8)
    assert psnr_db(true + np.uint8(10), true) == pytest.approx(20 * math.log10(25.5))
    assert psnr_db(true, true) < 60 and ssim(true, true) == pytest.approx(1.0)
    noise = np.random.default_rng(1).integers(0, 255, true.shape).astype(np.uint8)
    assert ssim(noise, true) < 0.2
