"""Settings that cannot work together, and files that only look like meshes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gimbal.data.stage import BadItem
from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal_nbv.config import DataSettings
from gimbal_nbv.stages.meshes import MeshesStage

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["views.candidates=8", "evaluate.budget=12"], r"evaluate\.budget \(12\)"),
        (["views.candidates=8", "evaluate.first_views=9"], r"evaluate\.first_views \(9\)"),
        (["data.train_shapes=1000000000000"], r"data\.train_shapes"),
        (["views.radius=inf"], r"views\.radius: should be a finite number"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_runs(
    overrides: list[str], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        load_experiment(SMOKE, overrides)


def test_a_dangling_link_and_a_pipe_are_bad_items_and_hold_nothing_up(tmp_path: Path) -> None:
    (tmp_path / "dangling.off").symlink_to("nowhere.off")
    os.mkfifo(tmp_path / "pipe.obj")
    stage = MeshesStage(name="meshes", settings=DataSettings(meshes=tmp_path), evaluate_only=True)
    items = stage.items({})
    assert [item["id"] for item in items] == ["dangling.off", "pipe.obj"]
    for item, reason in zip(items, ("does not exist", "not a regular file"), strict=True):
        with pytest.raises(BadItem, match=reason):
            list(stage.rows(item, {}))
