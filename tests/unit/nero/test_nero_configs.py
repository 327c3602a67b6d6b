"""The configs that ship load and plan, are the published settings, and nonsense is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.loading import default_settings, dump_yaml, load_experiment
from gimbal.pipeline.plan import make_plan
from gimbal_nero.workload import NeroWorkload

FOLDER = Path(__file__).parents[3] / "configs" / "nero"
CONFIGS = sorted(FOLDER.rglob("*.yaml"))
MATERIAL_TOO = [
    "prepare", "shape", "watch", "mesh", "material", "review", "export", "relight", "evaluate",
    "report",
]  # fmt: skip
AFTER = ["prepare", "shape", "watch", "mesh", "evaluate", "report"]


def ids(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


@pytest.mark.parametrize("path", CONFIGS, ids=ids)
def test_a_written_config_is_the_same_experiment(path, tmp_path):
    """Continuing a run reads the config the run wrote; the stages are those of the plan."""
    workload, settings = load_experiment(path)
    written = tmp_path / "config.yaml"
    written.write_text(dump_yaml(settings))
    assert load_experiment(written)[1] == settings
    names = [stage.name for stage in make_plan(workload.stages(settings)).stages]
    assert names == ["synthesize", *(AFTER if settings.material is None else MATERIAL_TOO)]


def test_photographs_of_ones_own_are_not_made(tmp_path):
    workload, settings = load_experiment(FOLDER / "shape_syn.yaml", [f"data.root={tmp_path}"])
    plan = make_plan(workload.stages(settings))
    assert [stage.name for stage in plan.stages] == AFTER


@pytest.mark.parametrize("name", ["shape_syn", "shape_real"])
def test_the_published_settings_are_those_of_the_paper(name):
    """nero.md 7, the columns shape/syn and shape/real."""
    _, settings = load_experiment(FOLDER / f"{name}.yaml")
    train, model, loss = settings.train, settings.model, settings.loss
    assert (train.steps, train.global_batch, train.lr) == (300_000, 512, 5e-4)
    assert (train.optimizer, train.schedule, train.warmup_steps) == ("adam", "cosine", 5000)
    assert (train.final_share, train.clip_norm, train.weight_decay) == (0.05, None, 0.0)
    assert (train.validate_every, train.best_metric, train.best_mode) == (5000, "psnr", "max")
    sampling = model.sampling
    assert (sampling.uniform, sampling.rounds, sampling.per_round) == (64, 4, 16)
    assert (sampling.background, sampling.behind_sphere_only) == (32, False)
    assert (model.sdf.layers, model.sdf.width, model.sdf.frequencies) == (8, 256, 6)
    assert (model.inv_s, model.light_max_log, model.compositing) == (0.3, 0.0, "srgb")
    assert (loss.eikonal_weight, loss.occlusion_weight, loss.mask_weight) == (0.1, 1.0, 0.0)
    assert (loss.occlusion_from_step, loss.prior_steps) == (20_000, 1000)
    schedule = settings.schedule
    assert (schedule.anneal_steps, schedule.variance_frozen_steps) == (50_000, 15_000)
    assert (sampling.clip_sharpness, sampling.skip_weight_below) == (True, 1e-7)
    assert (model.heads.layers, model.heads.width, model.sdf.bias) == (3, 256, 0.5)
    assert (model.density, model.exposure, model.sphere_direction) == ("cdf_ratio", "same", False)
    background = model.background
    assert (background.layers, background.width, background.frequencies) == (8, 256, 10)
    assert (loss.occlusion_band, loss.colour, loss.charbonnier_epsilon) == (
        0.01,
        "charbonnier",
        1e-3,
    )
    assert settings.rays.validation_scale == 0.25 and settings.mesh.resolution == 512
    assert settings.rays.foreground_share is None and settings.seed == 6033
    assert train.log_every == 20
    assert model.photographer == ("standing" if name == "shape_real" else "none")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.mode=radiance"], "loss.occlusion_weight: 0"),
        (["model.occlusion=false"], "model.occlusion: true"),
        (["model.mode=radiance", "model.photographer=fixed"], "photographer has no effect"),
        (["model.mode=radiance", "model.sphere_direction=true"], "sphere_direction has no effect"),
        (["prepare.masks=none", "loss.mask_weight=0.1"], "loss.mask_weight needs masks"),
        (["prepare.masks=none", "loss.masked_colour=true"], "loss.masked_colour needs masks"),
        (["prepare.masks=none", "rays.foreground_share=0.5"], "rays.foreground_share needs masks"),
        (["loss.colour=l1", "loss.charbonnier_epsilon=0.1"], "charbonnier_epsilon"),
        (["train.best_metric=chamfer"], "psnr"),
        (["model.size=huge"], "published"),
        (["model.lenght=3"], "lenght"),
    ],
)
def test_settings_that_mean_nothing_are_named_with_what_to_write(overrides, words):
    base = {"workload": "nero", "experiment": "x", "train": {"steps": 10, "global_batch": 4}}
    with pytest.raises(ConfigError) as caught:
        default_settings(NeroWorkload(), base, overrides)
    assert words in str(caught.value)


def test_radiance_and_a_shape_without_occlusion_can_be_asked_for():
    base = {"workload": "nero", "experiment": "x", "train": {"steps": 10, "global_batch": 4}}
    for key in ("model.mode=radiance", "model.occlusion=false"):
        default_settings(NeroWorkload(), base, [key, "loss.occlusion_weight=0"])


@pytest.mark.parametrize("name", ["material_syn", "material_real"])
def test_the_published_material_settings_are_those_of_the_paper(name):
    """nero.md 7, the columns material/syn and material/real."""
    _, settings = load_experiment(FOLDER / f"{name}.yaml")
    fit, mc = settings.material, settings.mc
    train, loss, networks = fit.train, fit.loss, fit.networks
    assert (train.steps, train.global_batch, train.lr) == (100_000, 512, 5e-4)
    assert (train.warmup_steps, train.final_share, train.clip_norm) == (1000, 0.05, None)
    assert (train.validate_every, train.checkpoint_every) == (5000, 5000)
    assert (mc.diffuse_samples, mc.specular_samples, mc.geometry) == (512, 256, "schlick")
    assert (loss.smoothness_weight, loss.smoothness_radius) == (0.005, 0.05)
    assert (loss.range_until_step, loss.neutral_light_weight) == (2000, 0.1)
    assert (loss.clip_white, loss.charbonnier_epsilon) == (False, 1e-3)
    assert (networks.light, networks.light_max_log) == ("network", 5.0)
    real = name == "material_real"
    assert networks.sphere_direction == real
    assert settings.model.photographer == ("standing" if real else "none")
    assert settings.prepare.bound == ("auto" if real else "none")


def test_fit_material_fits_as_the_quickstart_does(tmp_path):
    """One set of numbers, wherever they are written."""
    from gimbal_nero.commands.fit_material import fitting_config

    (tmp_path / "mesh.ply").write_text("")
    _, quickstart = load_experiment(FOLDER / "quickstart.yaml")
    own = fitting_config(tmp_path / "mesh.ply", tmp_path, [], axes="as_photographs")
    assert (own.material, own.mc) == (quickstart.material, quickstart.mc)
    _, published = load_experiment(FOLDER / "material_syn.yaml")
    own = fitting_config(tmp_path / "mesh.ply", tmp_path, [], size="published", axes="y_up")
    assert own.material == published.material
