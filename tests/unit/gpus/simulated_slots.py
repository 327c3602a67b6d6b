"""A Ray that only knows GPU slots: whole ones lowest first, shares where they fit most tightly."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from gimbal.gpus.slots import FENCE_PREFIX, JOB_PREFIX, Group, RayNode

Piece = tuple[str, str, float]  # node, slot, share


class SimulatedSlots:
    """Implements the ports `Slots` and, for the tests, strangers who come and go.

    Attributes:
        between: Called before every act of Gimbal: where strangers may come and go.
    """

    def __init__(self, nodes: Mapping[str, int]) -> None:
        self.left = {(n, str(i)): 1.0 for n, count in nodes.items() for i in range(count)}
        self.held: dict[str, list[Piece]] = {}
        self.busy: set[str] = set()
        self.between: Callable[[], None] = lambda: None
        self._nodes = dict(nodes)
        self._names = (f"{FENCE_PREFIX}{number}" for number in itertools.count())

    def give(self, node: str, share: float) -> Piece | None:
        """Take a piece as Ray would give it; None: there is none."""
        slots = [(s, self.left[n, s]) for n, s in self.left if n == node]
        if share >= 1:
            fitting = [slot for slot, left in slots if left >= 1]
        else:
            tight = sorted((left, int(slot)) for slot, left in slots if left >= share - 1e-9)
            fitting = [str(slot) for _, slot in tight]
        if not fitting:
            return None
        self.left[node, fitting[0]] = round(self.left[node, fitting[0]] - share, 4)
        return node, fitting[0], share

    def give_back(self, piece: Piece) -> None:
        node, slot, share = piece
        self.left[node, slot] = round(self.left[node, slot] + share, 4)
        assert self.left[node, slot] <= 1

    def fenced(self) -> list[tuple[str, str]]:
        """Slots of fences, one entry for each fence."""
        return [
            (node, slot)
            for name, pieces in self.held.items()
            if name.startswith(FENCE_PREFIX)
            for node, slot, _ in pieces
        ]

    def used_by_strangers(self) -> set[tuple[str, str]]:
        ours = dict.fromkeys(self.left, 0.0)
        for pieces in self.held.values():
            for node, slot, share in pieces:
                ours[node, slot] += share
        return {key for key, left in self.left.items() if left + ours[key] < 0.9999}

    # The port.

    def nodes(self) -> tuple[RayNode, ...]:
        return tuple(RayNode(node_id=n, host=n, gpus=count) for n, count in self._nodes.items())

    def available(self) -> Mapping[str, float]:
        return {n: sum(v for (m, _), v in self.left.items() if m == n) for n in self._nodes}

    def take(self, node_id: str, share: float, count: int) -> dict[str, str]:
        self.between()
        came: dict[str, str] = {}
        for _ in range(count):
            piece = self.give(node_id, share)
            if piece is not None:
                name = next(self._names)
                self.held[name] = [piece]
                came[name] = piece[1]
        return came

    def take_named(self, name: str, bundles: Sequence[tuple[str, float]]) -> tuple[str, ...] | None:
        self.between()
        assert name not in self.held
        pieces: list[Piece] = []
        for node, share in bundles:
            piece = self.give(node, share)
            if piece is None:
                for given in pieces:
                    self.give_back(given)
                return None
            pieces.append(piece)
        self.held[name] = pieces
        return tuple(slot for _, slot, _ in pieces)

    def slots_of(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...] | None]:
        return {
            name: None
            if name in self.busy or name not in self.held
            else tuple(slot for _, slot, _ in self.held[name])
            for name in names
        }

    def remove(self, names: Sequence[str], *, settle: bool = False) -> None:
        self.between()
        for name in names:
            for piece in self.held.pop(name, []):
                self.give_back(piece)

    def settle(self) -> None:
        self.between()

    def groups(self) -> tuple[Group, ...]:
        return tuple(
            Group(name=name, bundles=tuple((n, share) for n, _, share in pieces), created=True)
            for name, pieces in self.held.items()
            if name.startswith((FENCE_PREFIX, JOB_PREFIX))
        )


class DictMemory:
    """The port `Memory`, in this process."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    def put(self, key: str, value: str) -> None:
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)
