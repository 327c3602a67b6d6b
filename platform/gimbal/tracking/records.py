"""What a run tells MLflow, as records that survive on disk until MLflow has them.

Every record carries the moment it was made, so delivering one twice gives MLflow the same metric
point twice, which it stores once. Fields a newer version adds are ignored, which lets an older
version deliver what it understands.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

PARENT = ""
"""`Record.run` of the run itself; any other value is the name of a stage."""

RunStatus = Literal["finished", "failed", "killed", "reused"]
"""How a run or stage ended; `reused`: an earlier run's identical result was taken."""


class Record(BaseModel):
    """One thing to tell MLflow.

    Attributes:
        at_ms: When it happened, milliseconds since the Unix epoch.
        run: `PARENT`, or the name of the stage it is about.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    at_ms: int
    run: str = PARENT


class OpenRun(Record):
    """The run starts or is continued."""

    op: Literal["open"] = "open"
    experiment: str
    name: str
    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class OpenStage(Record):
    """A stage starts or is continued; `name` is how MLflow shows it, none: the stage's own."""

    op: Literal["stage"] = "stage"
    name: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class LogMetrics(Record):
    """Numbers of one step."""

    op: Literal["metrics"] = "metrics"
    values: dict[str, float]
    step: int = 0


class SetTags(Record):
    """Facts about the run; a later value replaces an earlier one."""

    op: Literal["tags"] = "tags"
    values: dict[str, str]


class FollowMetrics(Record):
    """From now on, read the numbers a training stage appends to this file."""

    op: Literal["follow"] = "follow"
    path: str


class WatchCheckpoints(Record):
    """From now on, record the checkpoints this index lists."""

    op: Literal["checkpoints"] = "checkpoints"
    path: str


class LogArtifact(Record):
    """Copy a file or folder, as it is when delivered, into the run's artifacts."""

    op: Literal["artifact"] = "artifact"
    path: str
    name: str


class Finish(Record):
    """The run or stage ended."""

    op: Literal["finish"] = "finish"
    status: RunStatus


AnyRecord = Annotated[
    OpenRun
    | OpenStage
    | LogMetrics
    | SetTags
    | FollowMetrics
    | WatchCheckpoints
    | LogArtifact
    | Finish,
    Field(discriminator="op"),
]
_ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)


def to_line(record: Record) -> bytes:
    """Return the record as one line of JSON, newline included."""
    return record.model_dump_json().encode() + b"\n"


def from_line(line: bytes) -> AnyRecord:
    """Read one line.

    Raises:
        ValueError: The line is no record this version knows.
    """
    return _ADAPTER.validate_json(line)
