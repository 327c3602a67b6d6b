"""What a workload is: a name, a config model and a list of stages.

A workload is found by the entry-point group `gimbal.workloads`, so a stranger's package adds one
without touching this repository.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.stage import Stage

ConfigT = TypeVar("ConfigT", bound=ExperimentSettings)

ENTRY_POINT_GROUP = "gimbal.workloads"


class Workload(ABC, Generic[ConfigT]):
    """One kind of research: how its config looks and which stages answer it."""

    name: ClassVar[str]
    config: type[ConfigT]

    @abstractmethod
    def stages(self, config: ConfigT) -> Sequence[Stage]:
        """Return the stages in an order in which each follows its inputs."""

    def notices(self, config: ConfigT) -> Sequence[str]:
        """Return what a user should be told before a run starts, a line each; usually nothing.

        For what a config implies without saying it.
        """
        return ()

    def cli(self) -> Any | None:
        """Return a typer app with the workload's own commands, or None."""
        return None
