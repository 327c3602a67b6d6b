"""Policies: hand-made, learned, and those that cheat."""

from gimbal_nbv.policies.base import Policy, choose
from gimbal_nbv.policies.constant import FirstFramePolicy
from gimbal_nbv.policies.geometric import FarthestPolicy, RandomPolicy, RingPolicy
from gimbal_nbv.policies.oracles import OracleChamfer, OracleCoverage, beam_search
from gimbal_nbv.policies.volumetric import COV_NBV, FRONTIER, REAR_SIDE, UNKNOWN_RAY, RayShare

__all__ = [
    "COV_NBV",
    "FRONTIER",
    "REAR_SIDE",
    "UNKNOWN_RAY",
    "FarthestPolicy",
    "FirstFramePolicy",
    "OracleChamfer",
    "OracleCoverage",
    "Policy",
    "RandomPolicy",
    "RayShare",
    "RingPolicy",
    "baselines",
    "beam_search",
    "choose",
]


def baselines(seed: int = 0) -> tuple[Policy, ...]:
    """Return every baseline that needs no training, weakest knowledge first."""
    return (
        RandomPolicy(seed),
        RingPolicy(),
        FarthestPolicy(),
        COV_NBV,
        REAR_SIDE,
        FRONTIER,
        UNKNOWN_RAY,
        OracleChamfer(),
        OracleCoverage(),
    )
