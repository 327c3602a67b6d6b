"""The workload `multicar`: cooperating cars, their cameras fused into panoramas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gimbal.experiment.stage import Stage
from gimbal.experiment.workload import Workload
from gimbal_multicar.config import MulticarConfig


class MulticarWorkload(Workload[MulticarConfig]):
    """Frames of cars → panoramas → survey."""

    name: ClassVar[str] = "multicar"
    config = MulticarConfig

    def stages(self, config: MulticarConfig) -> Sequence[Stage]:
        """Return the stages that make panoramas and look them over."""
        return ()

    def cli(self) -> Any:
        """Return the commands under `gimbal multicar`."""
        from gimbal_multicar.cli import app

        return app
