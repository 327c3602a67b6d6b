"""A whole world of GPUs without a GPU: what a YAML file says happens on them, and our own use.

Processes agree on it through a folder (`fake_lab_state`), because the service, node agents and
workers each open it anew. Our own processes are real ones with real ids and made-up memory; the
neighbours are made up altogether. Select it with

    GIMBAL_GPU_BACKEND=gimbal.testing.fake_gpus:from_environment
    GIMBAL_FAKE_GPUS=FILE.yaml GIMBAL_FAKE_GPUS_STATE=FOLDER [GIMBAL_FAKE_NODE=NAME]
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from gimbal.errors import ConfigError, GimbalError
from gimbal.gpus.model import GpuSample, NodeSample
from gimbal.gpus.smi_xml import read_capture
from gimbal.scheduling.model import GpuUuid
from gimbal.testing.fake_gpu_memory import FakeGpuMemory
from gimbal.testing.fake_lab import FakeLab
from gimbal.testing.fake_lab_file import Capture, read_fake_lab
from gimbal.testing.fake_lab_state import FakeLabState
from gimbal.testing.fake_timeline import World, cards_of, fake_uuid, with_world, world_at

__all__ = ["FakeGpus", "FakeLab", "FakeProbe", "fake_uuid", "from_environment"]

FILE_VARIABLE = "GIMBAL_FAKE_GPUS"
STATE_VARIABLE = "GIMBAL_FAKE_GPUS_STATE"
NODE_VARIABLE = "GIMBAL_FAKE_NODE"
DEFAULT_NODE = "lab"


class FakeGpus:
    """A GPU backend; see `gimbal.gpus.backend.GpuBackend`.

    Args:
        file: The lab.
        state: Folder of its state.
        node: Which of the lab's nodes this is; None: the only one.
        now: Returns Unix seconds.

    Raises:
        ConfigError: The file is wrong.
        StorageError: The folder cannot be used.
    """

    def __init__(
        self,
        file: Path,
        state: Path,
        *,
        node: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        lab = read_fake_lab(file)
        self._now = now
        self._node = lab.node(node)
        self._replay = lab.replay
        self._name = node or (next(iter(lab.nodes)) if lab.nodes else DEFAULT_NODE)
        self._cards = cards_of(self._node, self._name)
        self.state = FakeLabState(state, self._name)
        self._began = self.state.began(now())

    def probe(self) -> FakeProbe:
        """Return a probe of the made-up cards."""
        return FakeProbe(self)

    def memory(self, uuid: GpuUuid) -> FakeGpuMemory:
        """Return the calling process's view of a card.

        Raises:
            ConfigError: This node has no such card.
        """
        if all(card.uuid != uuid for card in self.look().gpus):
            raise ConfigError(f"node {self._name} of the fake lab has no card {uuid}", "")
        return FakeGpuMemory(uuid, self.state, self.look, self._now)

    def look(self) -> NodeSample:
        """Return what is on the cards now, even while the driver does not answer."""
        now = self._now()
        cards = self._base(now - self._began)
        world = self._world(cards, now)
        gpus = with_world(cards.gpus, world, self.state.own(), self._began)
        return NodeSample(at=now, gpus=gpus, problem=world.driver or cards.problem)

    def _world(self, cards: NodeSample, now: float) -> World:
        first = {card.index: self.state.first_ours(card.uuid) for card in cards.gpus}
        first_s = {index: at - self._began for index, at in first.items() if at is not None}
        return world_at(self._node.timeline, self.state.live(), now - self._began, first_s)

    def _base(self, since_began_s: float) -> NodeSample:
        """Return the cards before anybody does anything: empty, or as a capture shows them."""
        if not self._replay:
            return NodeSample(at=0, gpus=tuple(self._cards))
        shown: Capture | None = None
        for capture in sorted(self._replay, key=lambda capture: capture.at):
            if capture.at <= since_began_s:
                shown = capture
        return read_capture(shown.capture, at=0) if shown else NodeSample(at=0)


class FakeProbe:
    """Samples the made-up cards; see `gimbal.gpus.ports.GpuProbe`."""

    def __init__(self, gpus: FakeGpus) -> None:
        self._gpus = gpus

    def sample(self) -> NodeSample:
        """Return what is on every card now."""
        try:
            seen = self._gpus.look()
        except (GimbalError, OSError) as error:
            return NodeSample(at=time.time(), problem=f"the fake lab cannot be read: {error}")
        cards: tuple[GpuSample, ...] = () if seen.problem else seen.gpus
        return NodeSample(at=seen.at, gpus=cards, problem=seen.problem)

    def close(self) -> None:
        """Nothing is held."""


def from_environment() -> FakeGpus:
    """Return the made-up lab that the environment names.

    Raises:
        ConfigError: A variable is missing, or the file is wrong.
    """
    values = {name: os.environ.get(name, "") for name in (FILE_VARIABLE, STATE_VARIABLE)}
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise ConfigError(
            f"fake GPUs were asked for, but {' and '.join(missing)} is not set",
            f"set {FILE_VARIABLE} to the lab's YAML file and {STATE_VARIABLE} to a folder",
        )
    node = os.environ.get(NODE_VARIABLE) or None
    return FakeGpus(Path(values[FILE_VARIABLE]), Path(values[STATE_VARIABLE]), node=node)
