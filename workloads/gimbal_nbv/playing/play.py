"""Lets a policy choose views of one mesh, next to the two curves every result is held against.

Everything is measured by the run's own protocol. What a person looks at (pictures, clouds) may be
finer than what the policy saw; no number depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gimbal.errors import ConfigError
from gimbal.experiment.run_finding import find
from gimbal.experiment.run_folder import RunFolder
from gimbal.pipeline.drift import require_no_drift
from gimbal_nbv.building import Depth, build_oracle, measured, render_depth
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.errors import UnusableObject
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.judging import policy_drift
from gimbal_nbv.observing import ViewImages
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies import FarthestPolicy, OracleCoverage, Policy
from gimbal_nbv.protocol import SphereProtocol, starts_of
from gimbal_nbv.rollout import Rollout, roll_out
from gimbal_nbv.run_policy import load_policy
from gimbal_nbv.stages.reading import protocol_of
from gimbal_vision.errors import VisionError
from gimbal_vision.meshes import Mesh, load_mesh, normalise

Say = Callable[[str], None]

_MOST = 16
"""Views a voxel can remember to have been measured by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Play:
    """Who chooses how many views of what.

    Attributes:
        reference: The trained run; see `run_finding.find`.
        runs_dir: The folder of all runs.
        mesh: The file.
        views: Views K, the first included.
        policy: A policy's name in tables.
        first_view: Candidate to start from; if None, the run's own `first_view`, and without one
            it is drawn by the run's seed and the file's name.
        allow_drift: Go on where the policy was trained with other code, settings or libraries.
    """

    reference: str
    runs_dir: Path
    mesh: Path
    views: int = 6
    policy: str = "policy"
    first_view: int | None = None
    allow_drift: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Played:
    """A rollout on one mesh, and what it is compared with.

    Attributes:
        play: What was asked.
        run: The run.
        drift: How what is here differs from what the policy was trained with.
        mesh: Normalised.
        oracle: What every candidate sees of it.
        rollout: The policy's.
        others: Rollouts of `farthest` and `oracle` from the same first view, by name.
    """

    play: Play
    run: RunFolder
    drift: tuple[str, ...]
    mesh: Mesh
    oracle: OracleMap
    rollout: Rollout
    others: dict[str, Rollout]

    @property
    def views(self) -> list[int]:
        """The chosen views, in order."""
        return [int(view) for view in self.rollout.views[0]]

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors to them [K,3]."""
        return self.oracle.protocol.directions[self.views]


def play_policy(play: Play, say: Say) -> Played:
    """Roll a run's policy out on one mesh.

    Args:
        play: What is asked.
        say: Told what happens, in a few words.

    Raises:
        ConfigError: No such run or policy, an impossible number of views, an unusable file.
        Drift: The policy was trained with other code, settings or libraries.
        UnusableObject: One view shows nearly all of the object, or hardly any of it can be seen.
        StorageError: The checkpoint is damaged.
    """
    run = find(play.runs_dir, play.reference)
    policy, config = load_policy(run, play.policy)
    drift = policy_drift(run)
    require_no_drift(run, drift, allowed=play.allow_drift)
    if drift:
        say(f"the policy was trained with something else than is here ({drift[0]})")
    protocol = protocol_of(config.views, config.oracle)
    _require_possible(play, protocol)
    mesh = _load(play.mesh)
    say(f"{play.mesh.name}: {len(mesh.faces)} faces; measuring {protocol.views} candidate views")
    depth = render_depth(mesh, protocol)
    oracle = _measured(mesh, depth, protocol, config)
    first = _first_view(play, protocol, config)
    say(f"{policy.name} chooses {play.views} views, the first is {first}")
    seen = measured(depth, protocol.depth_noise, config.seed)
    cache = FeatureCache(oracle, images=ViewImages.of(seen, protocol))
    return Played(
        play=play,
        run=run,
        drift=drift,
        mesh=mesh,
        oracle=oracle,
        rollout=roll_out(policy, oracle, [first], play.views, cache),
        others={
            other.name: roll_out(other, oracle, [first], play.views, cache)
            for other in _compared(policy)
        },
    )


def _compared(policy: Policy) -> tuple[Policy, ...]:
    others: tuple[Policy, ...] = (FarthestPolicy(), OracleCoverage())
    return tuple(other for other in others if other.name != policy.name)


def _require_possible(play: Play, protocol: SphereProtocol) -> None:
    most = min(protocol.views, _MOST)
    if not 2 <= play.views <= most:
        why = f"the run has {protocol.views} candidates" if most < _MOST else "more are not kept"
        why = why if play.views > most else "the first view is one of them"
        raise ConfigError(f"--views is {play.views}; {why}", f"write a number from 2 to {most}")
    if play.first_view is not None and not 0 <= play.first_view < protocol.views:
        raise ConfigError(
            f"--first-view is {play.first_view}, but candidates are numbered from 0 to "
            f"{protocol.views - 1}",
            "write one of these numbers, or leave it out",
        )


def _load(path: Path) -> Mesh:
    if not path.is_file():
        raise ConfigError(
            f"{path} is not a file", "name one mesh: an obj, ply, off, stl or glb file"
        )
    try:
        return normalise(load_mesh(path))
    except VisionError as exc:
        raise ConfigError(exc.message, exc.remedy) from exc


def _measured(mesh: Mesh, depth: Depth, protocol: SphereProtocol, config: NbvConfig) -> OracleMap:
    try:
        return build_oracle(mesh, protocol, seed=config.seed, depth=depth)
    except UnusableObject as exc:
        raise UnusableObject(
            exc.message, "choose an object that has more than one side to look at"
        ) from exc


def _first_view(play: Play, protocol: SphereProtocol, config: NbvConfig) -> int:
    if play.first_view is not None:
        return play.first_view
    return starts_of(protocol, play.mesh.name, 1, config.seed, config.first_view)[0]
