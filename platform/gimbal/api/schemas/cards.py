"""Answers about GPUs and who claimed them."""

from __future__ import annotations

from datetime import datetime

from pydantic import ConfigDict

from gimbal.api.schemas.problems import Answer
from gimbal.scheduling.model import Condition


class HoldOut(Answer):
    """A card a person claimed."""

    id: int
    node: str
    gpu: int
    uuid: str | None
    user: str
    reason: str
    since: datetime
    until: datetime


class HoldList(Answer):
    """Every hold that has not run out."""

    holds: tuple[HoldOut, ...]


class QuarantineOut(Answer):
    """A card that was found broken."""

    node: str
    gpu: int
    uuid: str
    reason: str
    since: datetime


class Released(Answer):
    """What was ended on a card: a person's claim, its quarantine, or both."""

    hold: HoldOut | None
    quarantine: QuarantineOut | None


class CardJob(Answer):
    """A job of ours on a card."""

    id: str
    user: str
    share: float


class GpuOut(Answer):
    """One card of the cluster."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "GPU-76098dc1-5f5e-7f4f-9f3c-8a2c6d1b0e21",
                    "node": "lab1",
                    "index": 3,
                    "label": "lab1:3",
                    "name": "NVIDIA GeForce RTX 3090",
                    "condition": "foreign",
                    "total_bytes": 25769803776,
                    "own_bytes": 0,
                    "foreign_bytes": 15139759718,
                    "cooling_s": 0.0,
                    "note": "ada (python) holds 14.1 GiB",
                    "jobs": [],
                    "hold": None,
                }
            ]
        }
    )

    uuid: str
    node: str
    index: int
    label: str
    """`NODE:INDEX`."""
    name: str
    condition: Condition
    total_bytes: int
    own_bytes: int
    foreign_bytes: int
    """The most that was not ours within the window."""
    cooling_s: float
    note: str
    """Who or what is on it: a process's name and its owner, never its arguments."""
    jobs: tuple[CardJob, ...]
    hold: HoldOut | None


class GpuList(Answer):
    """Every card the service knows."""

    gpus: tuple[GpuOut, ...]
