"""The configs that ship: each loads, and a run's written config loads to the same experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.experiment.loading import dump_yaml, load_experiment
from gimbal.pipeline.plan import make_plan
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.judging import JudgingWorkload
from gimbal_nbv.run_policy import policy_stage_names

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "nbv").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_written_config_is_the_same_experiment(path: Path, tmp_path: Path) -> None:
    """Continuing a run and evaluating it later both read the config the run wrote."""
    workload, settings = load_experiment(path)
    written = tmp_path / "config.yaml"
    written.write_text(dump_yaml(settings))
    assert load_experiment(written)[1] == settings
    assert len(make_plan(workload.stages(settings)).stages) == 9 + 2 * (
        settings.completion is not None
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_judging_on_other_meshes_is_given_all_it_reads(path: Path) -> None:
    """A stage that an evaluation reads and nobody hands on would only show in the user's run."""
    _, settings = load_experiment(path)
    assert isinstance(settings, NbvConfig)
    given = policy_stage_names(settings)
    plan = make_plan(JudgingWorkload().stages(settings), given=given)
    known = {*given, *(stage.name for stage in plan.stages)}
    assert {name for stage in plan.stages for name in stage.inputs} <= known
