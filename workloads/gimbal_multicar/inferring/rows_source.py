"""Samples of rows in memory, read exactly as those of a finished stage are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from gimbal_multicar.cooperation.moments import CoopMoment
from gimbal_multicar.learning.samples import CoopSource

Row = Mapping[str, Any]


class RowsSource(CoopSource):
    """One sample of cars that no stage has kept.

    Args:
        rows: Of the stage `panoramas`' columns, the main car's first.
        moment: Who, where and when; its row numbers are places in `rows`.
    """

    def __init__(self, rows: Sequence[Row], moment: CoopMoment) -> None:
        self._reader = cast("Any", _RowsReader(rows))
        self.moments = (moment,)
        self._shared = self.geometry()


class _RowsReader:
    """Gives rows as `gimbal.data.reading.BlockReader` does."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __getitem__(self, index: int) -> Row:
        return self._rows[index]

    def fetch(self, indices: Any, columns: Iterable[str]) -> dict[str, Any]:
        """Return columns of some rows: numbers stacked, text as it is."""
        chosen = [self._rows[int(index)] for index in indices]
        return {name: _stacked([row[name] for row in chosen]) for name in columns}


def _stacked(values: list[Any]) -> Any:
    return values if isinstance(values[0], str) else np.stack(values)
