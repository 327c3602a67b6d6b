"""The warden as a detached actor, and how to come by it."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import ray
from gimbal.experiment.freshness import code_digest
from gimbal.gpus.agents import NAMESPACE, Agents
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.ray_slots import RayMemory, RaySlots
from gimbal.gpus.ray_warm import driver_lives, keep_warm
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.warden import Warden

WARDEN_NAME = "gimbal-warden"
_CALLS = 16
"""Calls it serves at once; one that waits for a reservation must not keep a snapshot waiting."""


_ON_HEAD = {"node:__internal_head__": 0.001}
"""Every other node may be lost, and the warden is needed most just then."""


class WardenActor(Warden):
    """The warden with Ray's adapters and a loop of its own.

    Args:
        occupancy: When a card counts as free.
        fence: How patient the fence is.
        version: Of its code and settings, so that a client with newer ones can replace it.
    """

    def __init__(self, occupancy: OccupancySettings, fence: FenceSettings, version: str) -> None:
        super().__init__(
            occupancy,
            fence,
            slots=RaySlots(fence),
            memory=RayMemory(),
            agents=Agents(occupancy, fence),
        )
        self._version = version
        stop = threading.Event()
        threading.Thread(target=self.run, args=(stop,), name="warden", daemon=True).start()
        threading.Thread(
            target=keep_warm, args=(lambda: self._nodes, stop), name="warm", daemon=True
        ).start()

    def version(self) -> str:
        """Return the version of its code and settings."""
        return self._version

    def is_orphaned(self) -> bool:
        """Return whether the driver that started it is gone: it then works, but slowly."""
        return not driver_lives()


def warden_version(occupancy: OccupancySettings, fence: FenceSettings) -> str:
    """Return what a warden of this code and these settings calls its version."""
    text = code_digest(("gimbal",)) + occupancy.model_dump_json() + fence.model_dump_json()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def get_or_create(occupancy: OccupancySettings, fence: FenceSettings, version: str) -> Any:
    """Return the handle of the cluster's warden, started if there is none."""
    actor = ray.remote(WardenActor).options(
        name=WARDEN_NAME,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        resources=_ON_HEAD,
        max_restarts=-1,
        max_concurrency=_CALLS,
    )
    return actor.remote(occupancy, fence, version)
