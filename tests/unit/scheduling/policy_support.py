"""Short words for clusters, jobs and decisions in the tests of the policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gimbal.scheduling.model import (
    Condition,
    Decision,
    Gpu,
    GpuUuid,
    Grant,
    JobId,
    NodeName,
    Place,
    Preempt,
    Request,
    Running,
    Snapshot,
    Wait,
    WaitReason,
)
from gimbal.scheduling.policy import decide
from gimbal.scheduling.settings import PolicySettings

GIB = 1 << 30
NOW = 1_800_000_000.0
SETTINGS = PolicySettings()


def card(
    index: int,
    condition: Condition = Condition.FREE,
    *,
    node: str = "lab",
    total: float = 24,
    foreign: float = 0,
    **more: object,
) -> Gpu:
    """Return a card called `GPU-<node>-<index>`."""
    if condition is Condition.FOREIGN and not foreign:
        foreign = 14
    return Gpu(
        uuid=GpuUuid(f"GPU-{node}-{index}"),
        node=NodeName(node),
        index=index,
        name="fake",
        total_bytes=int(total * GIB),
        condition=condition,
        foreign_bytes=int(foreign * GIB),
        **more,  # type: ignore[arg-type]
    )


def cards(count: int, condition: Condition = Condition.FREE, **more: object) -> tuple[Gpu, ...]:
    return tuple(card(i, condition, **more) for i in range(count))  # type: ignore[arg-type]


def job(
    name: str,
    gpus: int = 1,
    *,
    memory: float | None = None,
    waited: float = 10,
    user: str = "alice",
    **more: object,
) -> Request:
    """Return a job that has waited for `waited` seconds and needs `memory` GiB."""
    return Request(
        job_id=JobId(name),
        user=user,
        submitted_at=NOW - waited,
        gpus=gpus,
        memory_bytes=None if memory is None else int(memory * GIB),
        **more,  # type: ignore[arg-type]
    )


def running(
    name: str,
    on: Iterable[Gpu],
    *,
    share: float = 1.0,
    memory: float | None = None,
    ran: float = 3600,
    user: str = "bob",
    priority: int = 0,
    stopping: bool = False,
) -> Running:
    """Return a job that holds these cards."""
    return Running(
        job_id=JobId(name),
        user=user,
        priority=priority,
        started_at=NOW - ran,
        grants=tuple(
            Grant(
                uuid=gpu.uuid,
                node=gpu.node,
                share=share,
                memory_bytes=None if memory is None else int(memory * GIB),
            )
            for gpu in on
        ),
        stopping=stopping,
    )


class Decided:
    """The decisions by job."""

    def __init__(self, decisions: tuple[Decision, ...]) -> None:
        self.all = decisions
        self.places = {d.job_id: d for d in decisions if isinstance(d, Place)}
        self.waits = {d.job_id: d for d in decisions if isinstance(d, Wait)}
        self.preempts = {d.job_id: d.for_job for d in decisions if isinstance(d, Preempt)}

    def on(self, name: str) -> list[str]:
        """Return the cards a job was given, as `node:index`."""
        return [grant.uuid.removeprefix("GPU-").replace("-", ":") for grant in self._grants(name)]

    def why(self, name: str) -> WaitReason:
        return self.waits[JobId(name)].reason

    def detail(self, name: str) -> str:
        return self.waits[JobId(name)].detail

    def _grants(self, name: str) -> tuple[Grant, ...]:
        return self.places[JobId(name)].grants


def decided(
    gpus: Iterable[Gpu],
    queue: Iterable[Request],
    *,
    holding: Iterable[Running] = (),
    usage: Mapping[str, float] | None = None,
    settings: PolicySettings = SETTINGS,
) -> Decided:
    """Return what the policy decides."""
    snapshot = Snapshot(
        gpus=tuple(gpus), running=tuple(holding), queue=tuple(queue), usage_gpu_s=usage or {}
    )
    return Decided(decide(snapshot, now=NOW, settings=settings))
