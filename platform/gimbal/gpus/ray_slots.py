"""Ray's GPU slots by bare placement groups, which hold a slot without any process.

Which slot a group got is seen by a task inside it. Ray has no public count of what is left on each
node; this module is the only one that asks Ray's private state for it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ray.experimental import internal_kv
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

import ray
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.slots import FENCE_PREFIX, JOB_PREFIX, Group, RayNode

log = logging.getLogger(__name__)

NAME_LABEL = "gimbal.io/name"
_NAMESPACE = b"gimbal"
_ENDED = ("REMOVED",)


def _which() -> list[str]:
    """Run inside a group; return the slots it was given."""
    ids = ray.get_runtime_context().get_accelerator_ids()
    return [str(slot) for slot in ids.get("GPU", [])]


class RaySlots:
    """Slots of the cluster this process is connected to."""

    def __init__(self, settings: FenceSettings) -> None:
        self._settings = settings
        self._groups: dict[str, PlacementGroup] = {}
        self._probe = ray.remote(_which)

    def nodes(self) -> tuple[RayNode, ...]:
        """Return the living nodes that have GPUs."""
        return tuple(
            RayNode(
                node_id=node["NodeID"],
                host=node["NodeManagerHostname"],
                gpus=int(node["Resources"]["GPU"]),
                label=node.get("Labels", {}).get(NAME_LABEL, ""),
            )
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"] and node["Resources"].get("GPU", 0) >= 1
        )

    def available(self) -> Mapping[str, float]:
        """Return how many GPUs each node has left, by Ray's own count."""
        state: Any = ray._private.state
        left = state.available_resources_per_node()
        return {node_id: float(resources.get("GPU", 0.0)) for node_id, resources in left.items()}

    def take(self, node_id: str, share: float, count: int) -> dict[str, str]:
        """Take up to so many pieces of a node, all at once, under new names of the fence."""
        if not self._warm([node_id]):
            return {}
        names = [FENCE_PREFIX + uuid.uuid4().hex for _ in range(count)]
        for name in names:
            self._create(name, [(node_id, share)])
        deadline = time.monotonic() + self._settings.create_timeout_s
        created = [name for name in names if self._is_created(name, deadline)]
        slots = self._ask(dict.fromkeys(created, (share,)))
        came = {name: found[0] for name, found in slots.items() if found is not None}
        self.remove([name for name in names if name not in came])
        return came

    def take_named(self, name: str, bundles: Sequence[tuple[str, float]]) -> tuple[str, ...] | None:
        """Take a piece for each node and share, all in one group."""
        if not self._warm(node_id for node_id, _ in bundles):
            return None
        self._create(name, bundles)
        slots = None
        if self._is_created(name, time.monotonic() + self._settings.create_timeout_s):
            slots = self._ask({name: tuple(share for _, share in bundles)})[name]
        if slots is None:
            self.remove([name])
        return slots

    def slots_of(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...] | None]:
        """Return the slots of existing groups; None where it cannot be told."""
        shares = {g.name: tuple(s for _, s in g.bundles) for g in self.groups() if g.name in names}
        known = self._ask(shares)
        return {name: known.get(name) for name in names}

    def remove(self, names: Sequence[str], *, settle: bool = False) -> None:
        """Remove groups; unknown names are ignored."""
        if not names:
            return
        if any(name not in self._groups for name in names):
            self.groups()
        for name in names:
            group = self._groups.pop(name, None)
            if group is not None:
                remove_placement_group(group)
        if settle:
            self.settle()

    def settle(self) -> None:
        """Wait until Ray's head has heard of everything that was released before now."""
        time.sleep(self._settings.settle_s)

    def groups(self) -> tuple[Group, ...]:
        """Return every group of the fence and of attempts, whoever made it."""
        found: list[Group] = []
        for group_id, row in placement_group_table().items():
            name = str(row["name"])
            if not name.startswith((FENCE_PREFIX, JOB_PREFIX)) or row["state"] in _ENDED:
                continue
            group = PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id)))
            self._groups.setdefault(name, group)
            places = row["bundles_to_node_id"]
            found.append(
                Group(
                    name=name,
                    bundles=tuple(
                        (str(places.get(number) or ""), float(bundle.get("GPU", 0.0)))
                        for number, bundle in sorted(row["bundles"].items())
                    ),
                    created=row["state"] == "CREATED",
                )
            )
        return tuple(found)

    def _create(self, name: str, bundles: Sequence[tuple[str, float]]) -> None:
        self._groups[name] = placement_group(
            [{"GPU": share} for _, share in bundles],
            name=name,
            lifetime="detached",
            bundle_label_selector=[{"ray.io/node-id": node_id} for node_id, _ in bundles],
        )

    def _is_created(self, name: str, deadline: float) -> bool:
        return bool(self._groups[name].wait(max(0.05, deadline - time.monotonic())))

    def _ask(self, shares: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[str, ...] | None]:
        """Return the slots of the bundles of groups, by a task in each bundle.

        One after the other: a worker process that is warm answers in 3 ms. All at once, Ray starts
        a process for each, which takes seconds during which nobody else gets a card.
        """
        deadline = time.monotonic() + self._settings.probe_timeout_s
        known: dict[str, tuple[str, ...] | None] = {}
        for name, of_bundles in shares.items():
            found = [
                self._slot(name, number, share, deadline) for number, share in enumerate(of_bundles)
            ]
            known[name] = tuple(found) if all(found) else None
        return known

    def _slot(self, name: str, bundle: int, share: float, deadline: float) -> str:
        """Return the slot of a bundle; empty: it cannot be told."""
        where = PlacementGroupSchedulingStrategy(
            self._groups[name], placement_group_bundle_index=bundle
        )
        slots = self._run(where, share, max(0.1, deadline - time.monotonic()))
        return slots[0] if slots is not None and len(slots) == 1 else ""

    def _warm(self, node_ids: Iterable[str]) -> bool:
        """Have a worker process ready on each of these nodes; return whether there is one."""
        timeout_s = self._settings.probe_timeout_s
        return all(
            self._run(NodeAffinitySchedulingStrategy(node_id, soft=False), 0.0, timeout_s)
            is not None
            for node_id in sorted(set(node_ids))
        )

    def _run(self, where: Any, share: float, timeout_s: float) -> list[str] | None:
        """Return what a task sees there; None: it did not run."""
        task = self._probe.options(
            num_cpus=0, num_gpus=share, max_retries=0, scheduling_strategy=where
        )
        ref = task.remote()
        try:
            slots: list[str] = ray.get(ref, timeout=timeout_s)
        except ray.exceptions.GetTimeoutError:
            ray.cancel(ref, force=True)
            return None
        except ray.exceptions.RayError as error:
            log.warning("a probe failed: %s", (str(error).splitlines() or [""])[0])
            return None
        return slots


class RayMemory:
    """Values in the key-value store of Ray's head."""

    def get(self, key: str) -> str | None:
        """Return a value; None: there is none."""
        value = internal_kv._internal_kv_get(key.encode(), namespace=_NAMESPACE)
        return None if value is None else value.decode()

    def put(self, key: str, value: str) -> None:
        """Store a value."""
        internal_kv._internal_kv_put(key.encode(), value.encode(), namespace=_NAMESPACE)

    def delete(self, key: str) -> None:
        """Forget a value."""
        internal_kv._internal_kv_del(key.encode(), namespace=_NAMESPACE)
