"""The driver's hooks into Ray Tune: when to stop everything, and who came further."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray.tune import Callback, Stopper

from gimbal.sweeps.trainable import TRIAL

if TYPE_CHECKING:
    from gimbal.sweeps.tuning import Leaving


class _NotKept:
    """Tune copies and pickles its hooks for restarts of its own, which are not used here."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}


class AllStop(_NotKept, Stopper):
    """Stops all trials when the user or the budget says so."""

    def __init__(self, leaving: Leaving) -> None:
        self._leaving = leaving

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return False: no trial stops by itself."""
        return False

    def stop_all(self) -> bool:
        """Return whether everything is to stop."""
        return self._leaving.now


class Moves(_NotKept, Callback):
    """Tells which trials came further."""

    def __init__(self, on_moved: Callable[[str], None]) -> None:
        self._on_moved = on_moved

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial reported."""
        self._tell(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended."""
        self._tell(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's processes were lost too often."""
        self._tell(trial)

    def _tell(self, trial: Any) -> None:
        with contextlib.suppress(Exception):  # the border to Tune: a broken screen ends no sweep
            self._on_moved(str(trial.config[TRIAL]))
