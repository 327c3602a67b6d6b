"""`configs/serve.yaml` is what users copy from: it must name every setting, with its default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.plain import to_plain
from gimbal.experiment.yaml_reading import read_yaml
from gimbal.serving.settings import ServeSettings, load_settings

EXAMPLE = Path(__file__).parents[3] / "configs" / "serve.yaml"
NOT_SHOWN = {"api.auth"}
"""It is the service's own `auth` that counts."""


def keys(value: Any, before: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {before}
    return {key for name in value for key in keys(value[name], f"{before}.{name}".lstrip("."))}


def test_the_example_is_the_defaults() -> None:
    assert load_settings(EXAMPLE, [], {}) == ServeSettings()


def test_the_example_names_every_setting() -> None:
    assert keys(read_yaml(EXAMPLE).data) == keys(to_plain(ServeSettings())) - NOT_SHOWN


def test_options_win_over_the_file_and_overrides() -> None:
    settings = load_settings(EXAMPLE, ["port=1", "gpus.cool_down_s=7"], {"port": 2, "host": None})
    assert (settings.port, settings.host, settings.gpus.cool_down_s) == (2, "127.0.0.1", 7)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("gpus.cooldown_s=3", "did you mean gpus.cool_down_s"),
        ("policy.starvation=3", "did you mean policy.starvation_s"),
        ("retry.cap_s=many", "retry.cap_s"),
        ("controller.tick_s=0", "controller.tick_s"),
    ],
)
def test_a_wrong_setting_is_named(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_settings(None, [override], {})
