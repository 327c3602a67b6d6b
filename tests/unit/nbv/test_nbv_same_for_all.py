"""All policies of a run are one list, start from the same views and see the same noisy depth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trimesh

from gimbal.experiment.loading import load_experiment
from gimbal.experiment.stage import StageOutput
from gimbal_nbv import policy_list, run_policy
from gimbal_nbv.building import build_oracle, render_depth
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.extractors import extractor_of
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.observing import ViewImages, token_rows
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.playing import play as playing
from gimbal_nbv.playing.play import Play, play_policy
from gimbal_nbv.policies import FirstFramePolicy
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.stages import reading
from gimbal_nbv.stages import rollouts as rollouts_module
from gimbal_nbv.stages import states as states_module
from gimbal_nbv.stages.oracle import OracleStage
from gimbal_nbv.stages.reading import DepthNoise, images_of, oracle_seed
from gimbal_nbv.stages.rollouts import RolloutsStage
from gimbal_nbv.states import States
from gimbal_nbv.voxels import carve
from gimbal_vision.meshes import normalise

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"
SMALL = ("views.candidates=16", "views.image_size=32", "oracle.surface_samples=300")
FIXED = ("first_view=5", "evaluate.first_views=1")
NOISE = 0.01


def stages_of(*overrides: str) -> tuple[NbvConfig, dict[str, Any]]:
    workload, config = load_experiment(SMOKE, (*SMALL, *overrides))
    assert isinstance(config, NbvConfig)
    return config, {stage.name: stage for stage in workload.stages(config)}


class Views:
    """Stage `views` of one object, rendered without noise."""

    def __init__(self, depth: np.ndarray) -> None:
        cameras = ViewImages.of(depth, SphereProtocol(views=16, image_size=32))
        self.row = {"depth": depth, "cam2world": cameras.cam2world, "K": cameras.K}
        self.row |= {"family": "mug", "source": "procedural", "object_id": "mug-3"}

    def column(self, name: str) -> list[Any]:
        return [self.row[name]]

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.row


class Spy:
    """Remembers what it was shown, and takes the lowest open number."""

    name = "policy"

    def __init__(self) -> None:
        self.depth: np.ndarray | None = None

    def scores(self, states: States, features: FeatureCache) -> np.ndarray:
        assert features._images is not None
        self.depth = features._images.depth
        return np.tile(-np.arange(states.oracle.views, dtype=float), (len(states), 1))


@pytest.fixture(scope="module")
def depth(small_protocol: SphereProtocol) -> np.ndarray:
    return render_depth(normalise(make_shape("mug", 3)), small_protocol)


@pytest.fixture(scope="module")
def noisy_map(small_protocol: SphereProtocol, depth: np.ndarray) -> OracleMap:
    """The mug as stage `oracle` of seed 7 measures it under noise."""
    protocol = replace(small_protocol, depth_noise=NOISE)
    seed = oracle_seed(7, "mug-3")
    return build_oracle(make_shape("mug", 3), protocol, seed=seed, depth=depth)


def test_reading_knows_the_seed_of_stage_oracle() -> None:
    config, stages = stages_of("seed=7")
    stage = stages["oracle"]
    assert isinstance(stage, OracleStage)
    assert stage.item_seed({"id": "mug-3"}) % 2**32 == oracle_seed(config.seed, "mug-3")


def test_images_are_the_measurements_that_the_map_was_carved_from(
    depth: np.ndarray, noisy_map: OracleMap
) -> None:
    seen = images_of(Views(depth), "mug-3", DepthNoise(NOISE, seed=7))  # type: ignore[arg-type]
    for carved, kept in zip(
        carve(seen.depth, noisy_map.protocol), (noisy_map.free, noisy_map.surface), strict=True
    ):
        np.testing.assert_array_equal(carved, kept)
    hit = depth > 0
    assert np.std((seen.depth - depth)[hit]) == pytest.approx(NOISE, rel=0.05)
    clean = images_of(Views(depth), "mug-3", DepthNoise(0.0, seed=7))  # type: ignore[arg-type]
    assert clean.depth is depth


def test_a_rollout_shows_noisy_images_and_starts_where_it_must(
    depth: np.ndarray, noisy_map: OracleMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = ("model.policy=attention", f"oracle.depth_noise={NOISE}", "seed=7")
    stage = stages_of(*attention, *FIXED)[1]["rollouts"]
    assert isinstance(stage, RolloutsStage)
    spy, views = Spy(), Views(depth)
    for module in (rollouts_module, reading):
        monkeypatch.setattr(module, "open_rows", lambda *_: views)
    monkeypatch.setattr(rollouts_module, "read_oracle", lambda *_: noisy_map)
    monkeypatch.setattr(policy_list, "listed_policies", lambda *_: (spy,))
    (row,) = stage.rows({"id": "mug-3", "row": 0}, {})
    assert row["views"][:, 0].tolist() == [5]
    expected = DepthNoise(NOISE, seed=7).on(depth, "mug-3")
    np.testing.assert_array_equal(spy.depth, expected)


def test_a_played_mesh_is_seen_as_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = stages_of(f"oracle.depth_noise={NOISE}", *FIXED)
    mesh, spy = make_shape("mug", 3), Spy()
    trimesh.Trimesh(mesh.vertices, mesh.faces).export(tmp_path / "mug.ply")
    monkeypatch.setattr(playing, "find", lambda *_: None)
    monkeypatch.setattr(playing, "load_policy", lambda *_: (spy, config))
    monkeypatch.setattr(playing, "policy_drift", lambda *_: ())
    play = Play(reference="latest", runs_dir=tmp_path, mesh=tmp_path / "mug.ply", views=2)
    played = play_policy(play, lambda _: None)
    assert played.views[0] == 5, "the run's own first view"
    assert spy.depth is not None
    free, surface = carve(spy.depth, played.oracle.protocol)
    np.testing.assert_array_equal(free, played.oracle.free)
    np.testing.assert_array_equal(surface, played.oracle.surface)
    asked = play_policy(replace(play, first_view=2), lambda _: None)
    assert asked.views[0] == 2, "who asks for another gets it"


def test_every_stage_knows_the_fixed_first_view() -> None:
    stages = stages_of(*FIXED)[1]
    starts = {name: stages[name].first_view for name in STARTING}
    assert starts == dict.fromkeys(STARTING, 5)


STARTING = ("states", "constant", "rollouts", "evaluate")


def test_the_fitted_directions_are_the_best_from_the_fixed_first_view(
    mug_oracle: OracleMap,
) -> None:
    """From any other mixture of starts the best first move differs, or this checks nothing."""
    cache = FeatureCache(mug_oracle)

    def won(first_view: int | None, start: int) -> float:
        policy = FirstFramePolicy.fit([mug_oracle], budget=2, seed=0, first_view=first_view)
        states = States(mug_oracle, np.array([[start]], dtype=np.int32))
        scores = np.where(states.used, -np.inf, policy.scores(states, cache))
        gains = mug_oracle.gains(states.sets)[0]
        return float(gains[scores[0].argmax()] / gains.max())

    assert [won(start, start) for start in range(16)] == [1.0] * 16
    assert min(won(None, start) for start in range(16)) < 1.0


def outputs(*names: str) -> dict[str, StageOutput]:
    return {
        name: StageOutput(name=name, path=Path(name), fingerprint="f", metrics={}) for name in names
    }


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that need no training."""
    named = [SimpleNamespace(name=name) for name in ("policy", "blind", "completion")]
    monkeypatch.setattr(policy_list, "_trained", lambda *_: (named[0], named[1]))
    monkeypatch.setattr(policy_list, "_guided", lambda *_: named[2])
    monkeypatch.setattr(policy_list.np, "load", lambda *_: np.eye(3))


@pytest.mark.usefixtures("no_files")
def test_whoever_asks_gets_the_policies_of_the_runs_own_table() -> None:
    config, stages = stages_of("completion={}")
    stage = stages["rollouts"]
    assert isinstance(stage, RolloutsStage)
    inputs = outputs("train", "constant", "completion")
    table = [policy.name for policy in stage._policies(inputs)]
    assert [policy.name for policy in run_policy.all_policies(config, inputs)] == table
    assert "completion" in table
    unfinished = run_policy.all_policies(config, outputs("train", "constant"))
    assert [policy.name for policy in unfinished] == [n for n in table if n != "completion"]


@pytest.mark.parametrize("finished", [True, False])
def test_the_reconstruction_is_read_where_the_run_finished_it(
    finished: bool, tmp_path: Path
) -> None:
    config, _ = stages_of("completion={}")
    names = ["train", "constant", *(["completion"] if finished else [])]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "stage.json").write_text("{}")
    states = {name: SimpleNamespace(fingerprint="f", metrics={}) for name in names}
    run: Any = SimpleNamespace(
        id="r", stages=tmp_path, state=lambda: SimpleNamespace(stages=states)
    )
    assert list(run_policy.policy_stages(run, config)) == names


def test_tokens_of_training_states_are_made_from_noisy_images(
    depth: np.ndarray, noisy_map: OracleMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = ("model.policy=attention", "states.per_object=1", "states.longest=1", "seed=7")
    rows: dict[float, Any] = {}
    for sigma in (0.0, NOISE):
        stage = stages_of(*attention, *FIXED, f"oracle.depth_noise={sigma}")[1]["states"]
        views = Views(depth)
        for module in (states_module, reading):
            monkeypatch.setattr(module, "open_rows", lambda *_, views=views: views)
        monkeypatch.setattr(states_module, "read_oracle", lambda *_: noisy_map)
        (rows[sigma],) = stage.rows({"id": "mug-3", "row": 0, "split": "train"}, {})
    noise = DepthNoise(NOISE, seed=7)
    images = images_of(Views(depth), "mug-3", noise)  # type: ignore[arg-type]
    states = States(noisy_map, rows[NOISE]["views"][None])
    expected = token_rows(states, images, extractor_of("pointmap"))[0]
    np.testing.assert_array_equal(rows[NOISE]["tokens"], expected)
    assert (rows[0.0]["tokens"] != expected).any()
