"""Ray's GPU slots as the fence needs them: taken without choice, told apart afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

FENCE_PREFIX = "gimbal-fence:"
JOB_PREFIX = "gimbal-job:"
"""With the submission id behind it, the name of an attempt's placement group."""


class CardsTaken(Exception):
    """The cards could not be had: somebody else is on them. Nothing is held."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RayNode:
    """A living node with GPUs.

    Attributes:
        node_id: Ray's id of it, in hexadecimal.
        host: Its host name.
        gpus: How many GPUs Ray counts on it.
        label: Its label `gimbal.io/name`; empty: it has none.
    """

    node_id: str
    host: str
    gpus: int
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A placement group of ours, as Ray lists it.

    Attributes:
        name: Its name.
        bundles: Node and share of each bundle; the node is empty while Ray looks for one.
        created: Whether every bundle is in place.
    """

    name: str
    bundles: tuple[tuple[str, float], ...]
    created: bool


class Slots(Protocol):
    """Ray's GPU slots. Not for several threads at once."""

    def nodes(self) -> tuple[RayNode, ...]:
        """Return the living nodes that have GPUs."""
        ...

    def available(self) -> Mapping[str, float]:
        """Return how many GPUs each node has left, by Ray's own count; it may lag a little."""
        ...

    def take(self, node_id: str, share: float, count: int) -> dict[str, str]:
        """Take up to so many pieces of a node, all at once, under new names of the fence.

        Returns:
            Slot of each group by name; fewer than asked for where Ray had no more.
        """
        ...

    def take_named(self, name: str, bundles: Sequence[tuple[str, float]]) -> tuple[str, ...] | None:
        """Take a piece for each node and share, all in one group.

        Returns:
            The slot of each bundle; None, and nothing is held: they were not to be had.
        """
        ...

    def slots_of(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...] | None]:
        """Return the slots of existing groups; None where it cannot be told (workers use them)."""
        ...

    def remove(self, names: Sequence[str], *, settle: bool = False) -> None:
        """Remove groups; unknown names are ignored.

        Args:
            names: The groups.
            settle: Wait until Ray's head has heard of it: a group asked for earlier would wait
                about a second for its second chance.
        """
        ...

    def settle(self) -> None:
        """Wait until Ray's head has heard of everything that was released before now."""
        ...

    def groups(self) -> tuple[Group, ...]:
        """Return every group of the fence and of attempts, whoever made it."""
        ...


class Memory(Protocol):
    """Small values that outlive the warden, for as long as Ray's head remembers groups."""

    def get(self, key: str) -> str | None:
        """Return a value; None: there is none."""
        ...

    def put(self, key: str, value: str) -> None:
        """Store a value."""
        ...

    def delete(self, key: str) -> None:
        """Forget a value."""
        ...
