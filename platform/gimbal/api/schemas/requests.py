"""What the API takes; the service checks every request with these models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    StrictInt,
    WithJsonSchema,
)

from gimbal.jobs.model import Role

NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""How users and workloads are named."""
EXPERIMENT_LENGTH = 100
EXPERIMENT = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
NODE = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
MAX_GPUS = 1024
MAX_PRIORITY = 100
MAX_MEMORY_BYTES = 2**50
MAX_WORDS = 200
USER_HOLD_S = 24 * 3600
"""The longest a user may hold a card; operators may for a year."""
OPERATOR_HOLD_S = 365 * 24 * 3600


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError("should be bytes as a whole number, or text such as 10GiB")
    return value


Memory = Annotated[
    ByteSize,
    BeforeValidator(_no_bool),
    Field(ge=1, le=MAX_MEMORY_BYTES),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_MEMORY_BYTES},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*([KMGT]i?)?B$"},
            ]
        }
    ),
]
"""Bytes, or text such as `10GiB`."""
Words = Annotated[str, Field(max_length=MAX_WORDS, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""One line a person wrote."""


class Question(BaseModel):
    """Base of what the service takes: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SubmitJob(Question):
    """A job: a registered workload, its whole config, and the GPUs it may use.

    The service sets the config's `platform` itself, and `resources` as the GPUs say.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workload": "nbv",
                    "name": "nbv-quickstart",
                    "config": {"train": {"steps": 2000, "global_batch": 48}},
                    "gpus": 2,
                    "gpu_memory": "10GiB",
                    "priority": 5,
                }
            ]
        }
    )

    workload: Annotated[str, Field(pattern=NAME)]
    """A registered workload."""
    config: dict[str, Any] = {}
    """What an experiment file would hold; keys left out have their defaults."""
    gpus: Annotated[StrictInt, Field(ge=0, le=MAX_GPUS)] | None = None
    """Cards, one a worker; 0: none. Null: as the config's `resources` say."""
    gpu_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    """Share of a card, below 1 only with one GPU and stated memory; null: the config's, else 1."""
    gpu_memory: Memory | None = None
    """Memory each worker needs on its card; null: the config's, else a whole clean card."""
    priority: Annotated[StrictInt, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    """Larger goes first."""
    name: Annotated[str, Field(pattern=EXPERIMENT)] | None = None
    """Name of the experiment; null: the config's `experiment`, else the workload's name."""


class SubmitHold(Question):
    """A claim on one card; exactly one of `for_s` and `until` says how long."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"node": "lab1", "gpu": 3, "for_s": 7200, "reason": "debugging by hand"}]
        }
    )

    node: Annotated[str, Field(pattern=NODE)]
    gpu: Annotated[StrictInt, Field(ge=0, lt=MAX_GPUS)]
    """The card's number on that node."""
    for_s: Annotated[float, Field(ge=1, le=OPERATOR_HOLD_S, allow_inf_nan=False)] | None = None
    until: AwareDatetime | None = None
    reason: Annotated[Words, Field(min_length=1)]


class SubmitToken(Question):
    """A new bearer token for somebody."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user": "ada", "role": "user", "expires_in_s": 7776000}],
        }
    )

    user: Annotated[str, Field(pattern=NAME)]
    role: Role
    expires_in_s: Annotated[StrictInt, Field(ge=60, le=10 * 365 * 24 * 3600)] | None = None
    """Null: it does not expire."""
