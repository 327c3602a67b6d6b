"""The completion feature of `scorer_push.py`: what a candidate should newly see, guessed by a net.

The training families are dealt into two halves, and a net learns the shapes of one. A scorer then
learns from states of the other half, described by this net: what it sees in training is as unsure
as what it will see on held-out objects, which the same net describes. Its leaky counterpart learns
from states of the net's own half. Both are compared with a scorer without the feature on the very
same states, so that half the objects is no handicap.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gimbal.data.reading import BlockReader
from gimbal_nbv.completion_folds import fit_completion, scores_of
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.holding_out import folds_of
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.reconstruction.completion import Completion
from gimbal_nbv.reconstruction.completion_feature import completion_scores
from gimbal_nbv.reconstruction.completion_net import CompletionNet
from gimbal_nbv.stages.completion import OracleRows
from gimbal_nbv.states import States

STEPS, STATES = 150, 8
"""Optimizer steps of the net, and states of each object that are described."""
HALVES = {"apart": 0, "leaky": 1}
"""Which half a scorer learns from; the net learns from half 1."""


class Completions:
    """A net of half the training families, and its features; made once, then read from a folder.

    Args:
        run: A finished run.
        protocol: Its protocol.
        folder: Where the net and the features are kept.
    """

    def __init__(self, run: Path, protocol: SphereProtocol, folder: Path) -> None:
        self._oracles = OracleRows(BlockReader(run / "stages/oracle"), protocol)
        states = BlockReader(run / "stages/states")
        self._names = np.asarray(states.column("object_id"), dtype=str)
        self._views = np.asarray(states.column("views"))
        ids, families = (self._oracles.rows.column(name) for name in ("object_id", "family"))
        self._row_of = {str(name): row for row, name in enumerate(ids)}
        mine = dict.fromkeys(self._names.tolist())
        self._half = folds_of({name: str(families[self._row_of[name]]) for name in mine}, 2, 0)
        settings = CompletionSettings()
        train = settings.train.model_copy(update={"steps": STEPS})
        self._settings = settings.model_copy(update={"train": train})
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def rows(self, half: str) -> NDArray[np.int64]:
        """Return the states that a scorer learns from: the first few of each object of a half."""
        chosen = [
            np.flatnonzero(self._names == name)[:STATES]
            for name, number in self._half.items()
            if number == HALVES[half]
        ]
        return np.concatenate(chosen)

    def columns(self, half: str) -> NDArray[np.float32]:
        """Return the features of those states [S,M,k]."""
        file = self._folder / f"{half}.npy"
        if not file.exists():
            rows = self.rows(half)
            sets = {
                self._row_of[name]: self._views[rows[self._names[rows] == name]]
                for name in dict.fromkeys(self._names[rows].tolist())
            }
            found = scores_of(self._oracles, sets, self._net())
            np.save(file, np.concatenate(list(found.values())))
        columns: NDArray[np.float32] = np.load(file)
        return columns

    def describe(self) -> Callable[[States], NDArray[np.float32]]:
        """Return what describes the states of held-out objects."""
        net = self._net()
        return lambda states: completion_scores(states.oracle, states.sets, net)

    def _net(self) -> Completion:
        file, net = self._folder / "half.pt", CompletionNet(self._settings.width)
        if not file.exists():
            seen = [self._row_of[name] for name, half in self._half.items() if half == 1]
            fitted = fit_completion(self._oracles, np.array(sorted(seen)), self._settings, 0)
            torch.save(fitted.net.state_dict(), file)
        net.load_state_dict(torch.load(file))
        return Completion(net.eval(), grid=self._oracles.protocol.grid)
