"""What `scorer_push.py` learns from and is judged on: a finished run's stages, read in-process.

Ray images cost 12 ms a state, so the features of every view set met in a rollout are kept on disk,
object by object: variants that agree on their first views share them, and so does the next call.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gimbal.data.reading import BlockReader
from gimbal.experiment.loading import load_experiment
from gimbal_nbv.building import build_oracle
from gimbal_nbv.errors import UnusableObject
from gimbal_nbv.features import FeatureCache, Features
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies import Policy
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.stages.reading import protocol_of, read_oracle
from gimbal_nbv.states import States, sample_states
from gimbal_nbv.training_data import rows_of
from gimbal_vision.errors import VisionError
from gimbal_vision.meshes import find_meshes, load_mesh
from push_dagger import visited_states

Draw = Callable[[OracleMap, FeatureCache, np.random.Generator], States]
COLUMNS = ("features", "gains", "used")


@dataclass(frozen=True, eq=False)
class Rows:
    """Training states: features [S,M,F], gains [S,M], used [S,M], and the object of each [S]."""

    features: torch.Tensor
    gains: torch.Tensor
    used: torch.Tensor
    objects: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.objects)

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Rows:
        return cls(
            torch.from_numpy(columns["features"]),
            torch.from_numpy(columns["gains"]),
            torch.from_numpy(columns["used"].astype(np.bool_)),
            np.asarray(columns["objects"], dtype=str),
        )

    def batch(self, index: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        at = torch.from_numpy(index)
        return {name: getattr(self, name)[at] for name in COLUMNS}

    def chosen(self, index: NDArray[np.int64]) -> Rows:
        parts = (getattr(self, name)[torch.from_numpy(index)] for name in COLUMNS)
        return Rows(*parts, self.objects[index])

    def widened(self, columns: NDArray[np.float32]) -> Rows:
        features = torch.cat([self.features, torch.from_numpy(columns)], dim=-1)
        return Rows(features, self.gains, self.used, self.objects)

    def joined(self, other: Rows) -> Rows:
        parts = (torch.cat([getattr(self, n), getattr(other, n)]) for n in COLUMNS)
        return Rows(*parts, np.concatenate([self.objects, other.objects]))


@dataclass(frozen=True)
class Thing:
    """One object: its name, its family, and where its oracle map is."""

    id: str
    family: str
    load: Callable[[], OracleMap]


@dataclass(frozen=True)
class Bench:
    """A finished run.

    Attributes:
        config: Its settings.
        train: Objects of its training states.
        held: Those of them that choose checkpoints and variants; whole families.
        test: Objects of families never trained on.
        rows: Its training states, those of `held` included.
    """

    config: Any
    train: Sequence[Thing]
    held: Sequence[Thing]
    test: Sequence[Thing]
    rows: Rows

    @classmethod
    def open(cls, run: Path) -> Bench:
        _, config = load_experiment(run / "config.yaml")
        protocol = protocol_of(config.views, config.oracle)
        oracles, states = BlockReader(run / "stages/oracle"), BlockReader(run / "stages/states")
        columns = states.fetch(range(len(states)), COLUMNS)
        names = np.asarray(states.column("object_id"), dtype=str)
        held = set(names[np.asarray(states.column("split"), dtype=str) == "val"].tolist())
        things: dict[str, list[Thing]] = {"train": [], "held": [], "test": []}
        about = (oracles.column(name) for name in ("object_id", "family", "split"))
        for row, (name, family, split) in enumerate(zip(*about, strict=True)):
            load = _loader(oracles, row, protocol)
            part = "held" if name in held else str(split)
            things[part].append(Thing(str(name), str(family), load))
        return cls(config, **things, rows=Rows.of({**columns, "objects": names}))

    @property
    def protocol(self) -> SphereProtocol:
        return protocol_of(self.config.views, self.config.oracle)


def _loader(rows: BlockReader, row: int, protocol: SphereProtocol) -> Callable[[], OracleMap]:
    return lambda: read_oracle(rows, row, protocol)


def real_things(folder: Path, protocol: SphereProtocol, kept: Path) -> Iterator[Thing]:
    """Measure the meshes of a folder once; those that ask no question are left out."""
    kept.mkdir(parents=True, exist_ok=True)
    for path in find_meshes(folder):
        name = path.relative_to(folder).as_posix()
        file = kept / f"{name.replace('/', '+')}.npz"
        if not file.exists():
            try:
                oracle = build_oracle(load_mesh(path), protocol, seed=zlib.crc32(name.encode()))
            except (UnusableObject, VisionError) as exc:
                print(f"  {name} left out: {exc.message}")
                file.touch()
                continue
            np.savez(file, **oracle.to_arrays())
        if file.stat().st_size:
            yield Thing(name, name.split("/")[0], _kept_oracle(file, protocol))


def _kept_oracle(file: Path, protocol: SphereProtocol) -> Callable[[], OracleMap]:
    return lambda: OracleMap.from_arrays(dict(np.load(file)), protocol)


class Kept:
    """Arrays of view sets, computed once and kept in a file."""

    def __init__(self, make: Callable[[States], Features], file: Path) -> None:
        self._make, self._file = make, file
        self._known = self._read()
        self._met = len(self._known)

    def _read(self) -> dict[tuple[int, ...], Features]:
        if not self._file.exists():
            return {}
        with np.load(self._file) as kept:
            sets, values = kept["sets"], kept["values"]
        return {tuple(s[s >= 0].tolist()): v for s, v in zip(sets, values, strict=True)}

    def of(self, states: States) -> Features:
        """Return the arrays of some states, stacked."""
        out = []
        for row in range(len(states)):
            key = tuple(sorted(states.views(row).tolist()))
            if key not in self._known:
                one = States(states.oracle, states.sets[row : row + 1])
                self._known[key] = self._make(one)[0]
            out.append(self._known[key])
        return np.stack(out)

    def keep(self) -> None:
        """Write the file again if there is anything new; another call may have added to it."""
        if len(self._known) == self._met:
            return
        self._known |= self._read()
        sets = np.full((len(self._known), max(map(len, self._known))), -1, np.int32)
        for row, key in enumerate(self._known):
            sets[row, : len(key)] = key
        self._file.parent.mkdir(parents=True, exist_ok=True)
        part = self._file.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, sets=sets, values=np.stack(list(self._known.values())))
        part.replace(self._file)
        self._met = len(self._known)


class KeptFeatures(FeatureCache):
    """Features of one object's view sets, kept in files.

    Args:
        oracle: The object.
        file: Where they are kept.
        completed: Makes further features, where a policy wants them.
    """

    def __init__(
        self, oracle: OracleMap, file: Path, completed: Callable[[States], Features] | None = None
    ) -> None:
        super().__init__(oracle, capacity=1)
        self._rays = Kept(super().pooled, file)
        self._completed = Kept(completed, file.with_suffix(".completed.npz")) if completed else None

    def pooled(self, states: States) -> Features:
        """Return the pooled ray images of every candidate, float32 [B,M,F]."""
        return self._rays.of(states)

    def widened(self, states: States) -> Features:
        """Return all features, the further ones last."""
        if self._completed is None:
            raise ValueError("no further features were asked for")
        return np.concatenate([self.sighted(states), self._completed.of(states)], axis=-1)

    def keep(self) -> None:
        """Write what is new."""
        self._rays.keep()
        if self._completed is not None:
            self._completed.keep()


def more_rows(things: Iterable[Thing], draw: Draw, file: Path) -> Rows:
    """Describe drawn states of each object as training rows; made once, then read from a file."""
    if not file.exists():
        rows: list[dict[str, Any]] = []
        for thing in things:
            oracle = thing.load()
            cache = FeatureCache(oracle, capacity=256)
            rng = np.random.default_rng(zlib.crc32(f"{file.stem}/{thing.id}".encode()))
            rows += [{**r, "objects": thing.id} for r in rows_of(draw(oracle, cache, rng), cache)]
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **{n: np.stack([r[n] for r in rows]) for n in (*COLUMNS, "objects")})
    with np.load(file) as kept:
        return Rows.of(dict(kept))


def sampled(count: int) -> Draw:
    """Draw as stage `states` does."""
    return lambda oracle, cache, rng: sample_states(oracle, count, rng)


def visited(policy: Policy, count: int) -> Draw:
    """Draw the states that a policy visits."""
    return lambda oracle, cache, rng: visited_states(policy, oracle, cache, count, rng)
