"""The YAML of a made-up lab: its cards, and what its people do on them.

    gpus: [{name: NVIDIA GeForce RTX 3090, memory: 24GiB, count: 4}]
    timeline:
      - {at: 0s, gpu: 1, process: {pid: 40001, user: alice, memory: 14GiB}}
      - {at: 90s, leave: 40001}
      - {once_ours: {gpu: 2, for: 15s}, gpu: 2, process: {pid: 40002, user: bob, memory: 20GiB}}
      - {at: 10s, gpu: 3, fault: Xid 79}
      - {at: 20s, driver: mismatch}

Several nodes stand under `nodes: {NAME: {gpus: …, timeline: …}}`; `replay` plays captures of
`nvidia-smi -q -x` instead. A process that arrives again under its pid has changed its memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ByteSize, Field, ValidationError, model_validator

from gimbal.errors import ConfigError
from gimbal.experiment.config_errors import explain_validation
from gimbal.experiment.settings import Settings
from gimbal.experiment.units import parse_duration
from gimbal.experiment.yaml_reading import read_yaml


def _seconds(value: Any) -> Any:
    """Read a duration; a number alone is in seconds."""
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except ConfigError as error:
        raise ValueError(f"{error.message}: {error.remedy}") from error


Duration = Annotated[float, Field(ge=0, lt=1e9), BeforeValidator(_seconds)]
"""Seconds, written `90`, `90s`, `5m` or `2h`."""
_Index = Annotated[int, Field(ge=0, lt=64)]
_NodeKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")]
DRIVER_OK = "ok"


class FakeCards(Settings):
    """Some equal cards."""

    name: str = "NVIDIA GeForce RTX 3090"
    memory: Annotated[ByteSize, Field(gt=0)] = ByteSize(24 * 1024**3)
    count: Annotated[int, Field(ge=1, le=64)] = 1


class FakeProcess(Settings):
    """Somebody's process. It gets no more memory than the card has left."""

    pid: Annotated[int, Field(gt=1, lt=2**31)]
    user: str = "somebody"
    name: str = "python"
    memory: Annotated[ByteSize, Field(ge=0)]
    hidden: bool = False
    """The driver counts its memory and does not list it."""


class OnceOurs(Settings):
    """Some time after a process of ours first held memory on a card."""

    gpu: _Index
    after_s: Annotated[Duration, Field(alias="for")] = 0.0


class FakeEvent(Settings):
    """One thing that happens."""

    at: Duration | None = None
    once_ours: OnceOurs | None = None
    every: Duration | None = None
    """Happens again after that long, `times` times in all."""
    times: Annotated[int, Field(ge=1, le=100_000)] = 1
    gpu: _Index | None = None
    process: FakeProcess | None = None
    leave: int | None = None
    """Id of the process that leaves the node."""
    fault: str | None = None
    repair: bool | None = None
    driver: str | None = None
    """`mismatch`, other words for what is wrong with it, or `ok`."""

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.at is None) == (self.once_ours is None):
            raise ValueError("write either at or once_ours, so that it is known when it happens")
        things = ("process", "leave", "fault", "repair", "driver")
        given = [thing for thing in things if getattr(self, thing) is not None]
        if len(given) != 1:
            raise ValueError(f"write exactly one of {', '.join(things)}")
        if given[0] in ("process", "fault", "repair") and self.gpu is None:
            raise ValueError(f"write on which gpu the {given[0]} is")
        if self.times > 1 and not self.every:
            raise ValueError("times needs every, the time between")
        return self


class FakeNode(Settings):
    """The cards of one machine and what happens on them."""

    gpus: tuple[FakeCards, ...] = ()
    timeline: tuple[FakeEvent, ...] = ()

    @model_validator(mode="after")
    def _cards_exist(self) -> Self:
        count = sum(cards.count for cards in self.gpus)
        for number, event in enumerate(self.timeline):
            named = [event.gpu, event.once_ours.gpu if event.once_ours else None]
            for index in named:
                if index is not None and index >= count:
                    raise ValueError(
                        f"timeline.{number} names gpu {index}, but there are {count} cards, from 0"
                    )
        return self


class Capture(Settings):
    """An output of `nvidia-smi -q -x` and the time from which it is what is seen."""

    at: Duration
    capture: Path


class FakeLabFile(FakeNode):
    """A whole file."""

    nodes: Mapping[_NodeKey, FakeNode] = Field(default_factory=dict)
    replay: tuple[Capture, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [bool(self.gpus or self.timeline), bool(self.nodes), bool(self.replay)]
        if sum(kinds) != 1:
            raise ValueError("write either gpus and a timeline, or nodes, or a replay")
        return self

    def node(self, name: str | None) -> FakeNode:
        """Return one node's part.

        Args:
            name: The node; None: the only one.

        Raises:
            ConfigError: The file has no such node, or several.
        """
        if not self.nodes:
            return self
        if name is None and len(self.nodes) == 1:
            return next(iter(self.nodes.values()))
        if name is None or name not in self.nodes:
            raise ConfigError(
                f"the fake lab has no node {name or 'without a name'}",
                f"set GIMBAL_FAKE_NODE: {', '.join(self.nodes)}",
            )
        return self.nodes[name]


def read_fake_lab(path: Path) -> FakeLabFile:
    """Read and check a file; captures are found beside it.

    Raises:
        ConfigError: Naming the line and what to write instead.
    """
    document = read_yaml(path)
    data: Any = document.data
    try:
        lab = FakeLabFile.model_validate({} if data is None else data)
    except ValidationError as error:
        origins = {key: f"{path}, line {line}" for key, line in document.lines.items()}
        raise explain_validation(error, FakeLabFile, data, origins, str(path)) from error
    replay = tuple(
        shot.model_copy(update={"capture": path.parent / shot.capture}) for shot in lab.replay
    )
    return lab.model_copy(update={"replay": replay})
