"""The configs that ship: each loads, and a run's written config loads to the same experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.experiment.loading import dump_yaml, load_experiment
from gimbal.pipeline.plan import make_plan

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
