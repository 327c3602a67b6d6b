"""The configs that ship load and plan; settings that mean nothing are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.loading import default_settings, dump_yaml, load_experiment
from gimbal.pipeline.plan import make_plan
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.workload import MulticarWorkload

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "multicar").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_written_config_is_the_same_experiment(path: Path, tmp_path: Path) -> None:
    """Continuing a run reads the config the run wrote."""
    workload, settings = load_experiment(path)
    written = tmp_path / "config.yaml"
    written.write_text(dump_yaml(settings))
    assert load_experiment(written)[1] == settings
    names = [stage.name for stage in make_plan(workload.stages(settings)).stages]
    assert names[0] == "panoramas" and {"survey", "report"} <= set(names)


def test_the_sources_preset_is_their_shape_and_nothing_else_changes() -> None:
    ours, source = (
        load_experiment(CONFIGS[0].parent / f"{name}.yaml")[1] for name in ("panoramas", "source")
    )
    assert isinstance(source, MulticarConfig) and isinstance(ours, MulticarConfig)
    panorama = source.data.panorama
    assert (panorama.width, panorama.height, panorama.vfov_deg) == (1008, 252, 90.0)
    same = source.data.model_copy(update={"panorama": ours.data.panorama})
    assert same == ours.data


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.panorama.vfov_deg=null", "camera_model: cylindrical"),
        ("data.panorama.heigth=252", "height"),
        ("data.splits=[train,val]", "validate"),
        ("data.splits=[train,test,train]", "train is named more than once"),
        ("data.panorama.warp=depth", "fixed_point"),
        ("data.reference=roof", "box_centre"),
        ("data.max_cars=0", "greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_write(override: str, words: str) -> None:
    base = {"workload": "multicar", "experiment": "x"}
    with pytest.raises(ConfigError) as caught:
        default_settings(MulticarWorkload(), base, [override])
    text = str(caught.value)
    assert override.partition("=")[0].rpartition(".")[2] in text and words in text
