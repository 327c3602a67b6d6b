"""The settings of a preview: the workload's defaults, options, then `key=value` texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from gimbal.errors import ConfigError
from gimbal.experiment.loading import default_settings
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.workload import MulticarWorkload


def preview_config(
    asked: Mapping[str, Any], overrides: Sequence[str], split: str
) -> MulticarConfig:
    """Return the checked settings.

    Args:
        asked: Keys of `data` and their values; None where not given.
        overrides: `key=value` texts, which win.
        split: The only split.

    Raises:
        ConfigError: A key or value is wrong, or no data set is named.
    """
    data = {key: str(v) if key.endswith("root") else v for key, v in asked.items() if v is not None}
    base = {
        "workload": "multicar",
        "experiment": "preview",
        "data": {**data, "splits": [split]},
    }
    config = cast("MulticarConfig", default_settings(MulticarWorkload(), base, overrides))
    if config.data.root is None:
        raise ConfigError(
            "nothing to look at: neither --root nor --run is given",
            "name a data set (gimbal multicar synthesize makes one) or a finished run",
        )
    return config
