"""Settings of a training that cannot work or cannot matter are refused, with what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.code_closure import code_hashes
from gimbal.experiment.loading import default_settings, load_experiment
from gimbal.experiment.stage import Stage
from gimbal.pipeline.plan import make_plan
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.learning.fitting import samples_at_once
from gimbal_multicar.stages.training import CoopTrainStage
from gimbal_multicar.workload import MulticarWorkload

CONFIGS = Path(__file__).parents[3] / "configs" / "multicar"
BASE = {"workload": "multicar", "experiment": "x"}
TRAINED = ["train.steps=4", "train.global_batch=4"]


def stages(*overrides: str) -> dict[str, Stage]:
    workload, settings = load_experiment(CONFIGS / "quickstart.yaml", overrides)
    return {stage.name: stage for stage in make_plan(workload.stages(settings)).stages}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.panorama.width=250", "write 238 or 252"),
        ("data.panorama.height=9", "write 14"),
        ("model.patch=16", "write 160 or 176"),
        ("data.splits=[train,test]", "lacks validate"),
        ("evaluate.split=test_culvercity", "lacks test_culvercity"),
        ("data.synthetic.scenarios=2", "3 or more"),
        ("samples.max_cars=1", "below samples.min_cars"),
        ("samples.num_cars=[2,5]", "shows 5 cars"),
        ("samples.num_cars=[1,2]", "write numbers of 2 or more"),
        ("{samples.min_cars: 1, samples.max_cars: 1}", "leaves no partner"),
        ("data.synthetic.agents=1", "data.synthetic.agents is below samples.min_cars (2)"),
        ("data.max_cars=1", "data.max_cars is below samples.min_cars (2)"),
        ("train.best_metric=pose_m", "one of blind/pose_quats"),
        ("train.best_metric=match_right", "is not measured"),
        ("loss.match_weight=5", "loss.match_weight has no effect with any model.pose_head but"),
        ("{model.pose_head: matching, loss.match_weight: 0}", "never teach what matches"),
        ("{model.size: v1, model.stem: [8]}", "model.stem has no effect with model.size: v1"),
        ("evaluate.told=[rays]", "rays (model.given.ray_dirs_prob)"),
        (
            "{model.given.preset: mvs, evaluate.told: [all]}",
            "depth (model.given.depth_prob), which",
        ),
        ("evaluate.told=[pose,pose]", "pose is there more than once"),
        ("samples.max_views_per_worker=3", "write 4 or more"),
        ("samples.camera_view.width=224", "no effect with samples.views: panoramas"),
        ("{samples.views: cameras, samples.roll: true}", "samples.roll: true has no effect"),
        ("model.heads=5", "divisible by model.heads"),
        ("model.taps=[2,6]", "6 blocks"),
        ("model.train_only=heads", "model.init_from"),
        ("model.given.cam_prob=.5", "model.given.cam_prob has no effect"),
        ("model.priors.use_rel_pose_prior=true", "no effect with samples.views: panoramas"),
        ("model.fusion=stacked", "model.fusion has no effect with samples.views: panoramas"),
        (
            "{samples.views: fused_cameras, model.fusion: mean}",
            "'attention', 'stacked' or 'conv3d'",
        ),
        ("loss.weights.pose=3", "pose_trans"),
        ("{loss.weights.mask: 0, loss.mask_pos_weight: 2}", "mask_pos_weight has no effect"),
    ],
)
def test_a_training_that_cannot_work_is_refused(override: str, words: str) -> None:
    braced = override.strip("{}").replace(": ", "=").split(", ")
    overrides = braced if override.startswith("{") else [override]
    with pytest.raises(ConfigError) as caught:
        default_settings(MulticarWorkload(), BASE, [*TRAINED, *overrides])
    assert words in f"{caught.value.message} {caught.value.remedy}"


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.given.preset=mvs", "evaluate.told=[rays,pose]"],
        ["model.pose_head=matching", "train.best_metric=match_right", "loss.match_weight=5"],
        ["model.priors.use_agent_pose_prior=true", "model.priors.agent_pose_noise_m=2"],
        ["samples.views=fused_cameras", "model.fusion=stacked"],
        ["samples.views=fused_cameras", "model.fusion=conv3d"],
    ],
)
def test_a_training_that_does_what_it_says_is_taken(overrides: list[str]) -> None:
    default_settings(MulticarWorkload(), BASE, [*TRAINED, *overrides])


def test_a_run_does_not_start_without_the_weights_it_starts_from(tmp_path: Path) -> None:
    """A config of a finished run still loads: its model outlives the weights it began with."""
    given = [*TRAINED, f"model.init_from={tmp_path / 'lost.pt'}"]
    settings = default_settings(MulticarWorkload(), BASE, given)
    assert isinstance(settings, MulticarConfig)
    with pytest.raises(ConfigError, match=r"model\.init_from: there is nothing at .*lost\.pt"):
        MulticarWorkload().notices(settings)
    (tmp_path / "lost.pt").touch()
    assert not MulticarWorkload().notices(settings)


def test_without_a_training_nothing_of_it_is_asked_for() -> None:
    settings = default_settings(MulticarWorkload(), BASE, ["data.panorama.width=250"])
    assert isinstance(settings, MulticarConfig)
    names = [stage.name for stage in MulticarWorkload().stages(settings)]
    assert names == ["panoramas", "survey", "report"]


def test_what_only_saves_memory_leaves_a_training_as_it_is() -> None:
    """Whoever runs out of memory goes on with less, and does not begin anew."""
    plain, saving = (
        stages(*given)["train"]
        for given in ([], ["samples.max_views_per_worker=8", "model.checkpoint_trunk=true"])
    )
    assert isinstance(plain, CoopTrainStage) and isinstance(saving, CoopTrainStage)
    assert plain.settings == saving.settings and plain.largest_batch is None
    assert saving.largest_batch == 2 == samples_at_once(saving.samples)
    assert saving.model.checkpoint_trunk and not plain.model.checkpoint_trunk
    assert {"max_views_per_worker", "recomputed"} <= CoopTrainStage.bookkeeping


@pytest.mark.parametrize("name", ["quickstart", "opv2v", "smoke"])
def test_a_config_that_trains_has_its_stages_in_order(name: str) -> None:
    workload, settings = load_experiment(CONFIGS / f"{name}.yaml")
    assert [stage.name for stage in workload.stages(settings)][:3] == [
        "panoramas", "survey", "train",
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["panoramas", "surveying"])
def test_an_edit_of_the_model_has_no_panorama_made_anew(stage: str) -> None:
    """The fingerprint covers the code a stage reaches; rendering hundreds of streets takes long."""
    reached = code_hashes(f"gimbal_multicar.stages.{stage}")
    assert not [name for name in reached if "/learning/" in name or "/multiview/" in name]
