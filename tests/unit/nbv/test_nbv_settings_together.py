"""Settings that do not go together are refused with the ones that do; one object is both splits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal_nbv.config import DataSettings
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.stages.meshes import MeshesStage
from gimbal_nbv.stages.reading import rows_of_split
from gimbal_nbv.states import sample_states

CONFIGS = Path(__file__).parents[3] / "configs" / "nbv"


@pytest.mark.parametrize(
    ("config", "override", "said"),
    [
        ("quickstart", "model.head=spherical", r"model\.head has no effect.*model\.policy"),
        ("attention", "model.hidden=32", r"model\.hidden has no effect.*model\.width"),
        ("attention", "model.width=30", r"divisible by model\.heads"),
        ("attention", "model.head=unit_vector", r"candidate_features has no effect"),
        ("continuous", "objective.name=rri_regression", r"map_ascent or model\.head: discrete"),
        ("attention", "objective.name=detached_cd", r"names a direction"),
        ("continuous", "objective.gumbel=true", r"objective\.gumbel has an effect only"),
        ("quickstart", "objective.information_gain=.5", r"information_gain has no effect"),
        ("quickstart", "states.target=learned_rri", r"add `completion: \{\}`"),
        ("detached_cd", "objective.reconstruction=completion", r"add `completion: \{\}`"),
        ("quickstart", "first_view=64", r"one of the 64 candidates"),
        ("quickstart", "first_view=3", r"evaluate\.first_views: 1"),
        ("attention", "model.preset=source", r"has no effect with model\.preset: source"),
        ("single_mesh_random_view", "model.preset=source", r"answers with a direction"),
        ("continuous", "model.coordinates=false", r"without a frame"),
        ("attention", "model.coordinates=false model.refinement=true", r"without a frame"),
        ("attention", "model.coordinates=false model.relative=false", r"without a frame"),
        ("continuous", "model.relative=false", r"relative has no effect"),
        ("quickstart", "objective.sums=true", r"objective\.sums has no effect"),
        ("attention", "objective.norm_penalty=1", r"norm_penalty has no effect"),
        ("attention", "objective.kappa=9", r"kappa has no effect"),
        ("map_ascent", "objective.regret_weight=1", r"regret_weight has no effect"),
        ("rri", "model.temperature=.2", r"temperature has no effect"),
        ("detached_cd", "objective.information_gain=1", r"information_gain has no effect"),
        ("quickstart", "views.candidates=8 states.longest=8", r"needs an open candidate"),
    ],
)
def test_what_does_not_go_together_is_refused(config: str, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_experiment(CONFIGS / f"{config}.yaml", override.split())


def test_the_sources_own_run_is_what_the_configs_comment_says() -> None:
    """Its network, its raw sums and plain Adam at its rate, nothing else on top."""
    path = CONFIGS / "detached_cd.yaml"
    overrides = re.findall(r"[a-z_.]+=\S+", path.read_text().split("extends:")[0])
    _, settings = load_experiment(path, overrides)
    assert (settings.model.preset, settings.model.head) == ("source", "spherical")
    objective, train = settings.objective, settings.train
    assert (objective.name, objective.normalise, objective.sums) == ("detached_cd", "none", True)
    assert (train.optimizer, train.lr, train.global_batch) == ("adam", 5e-6, 1)
    assert (train.schedule, train.warmup_steps, train.weight_decay) == ("constant", 0, 0)
    assert train.clip_norm is None


def test_one_number_of_the_completions_training_can_be_changed_alone() -> None:
    _, settings = load_experiment(CONFIGS / "learned_rri.yaml", ["completion.train.steps=40"])
    assert settings.completion is not None
    train = settings.completion.train
    assert (train.steps, train.global_batch, train.lr) == (40, 16, 4e-3)


def test_sgd_with_momentum_can_be_asked_for() -> None:
    overrides = ["train.optimizer=sgd", "train.momentum=0.9"]
    _, settings = load_experiment(CONFIGS / "detached_cd.yaml", overrides)
    assert settings.train.optimizer == "sgd"


def single(name: str) -> MeshesStage:
    return MeshesStage(name="meshes", settings=DataSettings(single=name))


def test_a_single_object_is_trained_and_judged_on() -> None:
    (item,) = single("mug-3").items({})
    assert (item["split"], item["family"], item["shape_seed"]) == ("both", "mug", 3)
    (row,) = single("mug-3").rows(item, {})

    class Rows:
        def column(self, name: str) -> list[str]:
            return [row[name]]

    for split in ("train", "test"):
        np.testing.assert_array_equal(rows_of_split(Rows(), [split]), [0])  # type: ignore[arg-type]


def test_a_single_mesh_file_counts_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "part.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 4 2\nf 1 3 4\nf 2 4 3\n")
    stage = single(str(path))
    assert stage.external_files() == (path,)
    (item,) = stage.items({})
    assert (item["id"], item["split"]) == ("part.obj", "both")


@pytest.mark.parametrize("name", ["nothing-3", "mug", "mug-x", "no/such/file.obj"])
def test_a_single_object_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.single"):
        single(name).items({})


@pytest.mark.parametrize("name", ["~nosuchuser/x", "~nosuchuser/x.obj", "x" * 300])
def test_a_path_that_cannot_be_is_reported_as_missing(name: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.single"):
        single(name).items({})


def test_a_state_never_takes_a_view_twice(mug_oracle: OracleMap) -> None:
    """Near the end few candidates are left, fewer than a near-greedy step chooses among."""
    states = sample_states(mug_oracle, 60, np.random.default_rng(0), longest=15)
    for row in range(len(states)):
        views = states.views(row)
        assert len(set(views.tolist())) == len(views)
