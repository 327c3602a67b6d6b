"""Configs of faults and ablations load, plan, and differ from the quickstart in what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.experiment.loading import dump_yaml, load_experiment
from gimbal.pipeline.plan import make_plan

NERO = Path(__file__).parents[3] / "configs" / "nero"
CONFIGS = sorted(path for folder in ("faults", "ablations") for path in NERO.glob(f"{folder}/*"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_is_a_whole_run_that_is_checked(path, tmp_path):
    workload, settings = load_experiment(path)
    written = tmp_path / "config.yaml"
    written.write_text(dump_yaml(settings))
    assert load_experiment(written)[1] == settings
    stages = {stage.name: stage for stage in make_plan(workload.stages(settings)).stages}
    assert list(stages)[-1] == "report"
    assert stages["prepare"].gates
    asked = {gate.metric.split(".")[0] for gate in stages["report"].gates}
    assert asked == {"watch", "evaluate"}


def test_each_fault_differs_from_the_quickstart_in_its_fault_alone():
    _, plain = load_experiment(NERO / "shape_quickstart.yaml")
    for path in NERO.glob("faults/*.yaml"):
        _, faulty = load_experiment(path)
        assert faulty.data.synthetic.faults != plain.data.synthetic.faults
        assert (faulty.model, faulty.loss, faulty.train) == (plain.model, plain.loss, plain.train)


def test_ablations_take_away_one_thing():
    _, plain = load_experiment(NERO / "shape_quickstart.yaml")
    _, radiance = load_experiment(NERO / "ablations" / "radiance.yaml")
    _, bare = load_experiment(NERO / "ablations" / "no_occlusion.yaml")
    assert radiance.data == plain.data
    assert bare.model == plain.model.model_copy(update={"occlusion": False})
    assert radiance.model.mode == "radiance"
