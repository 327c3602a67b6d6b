"""Builds samples and reports of made-up cards for the tests of `gimbal.gpus`."""

from __future__ import annotations

from collections.abc import Sequence

from gimbal.gpus.model import AttributedGpu, GpuSample, NodeReport, Owner, Use
from gimbal.gpus.words import GIB
from gimbal.scheduling.model import GpuUuid, NodeName

NODE = NodeName("lab1")


def use(owner: Owner, gib: float, pid: int = 40001) -> Use:
    if owner is Owner.UNATTRIBUTED:
        return Use(owner=owner, used_bytes=int(gib * GIB))
    return Use(owner=owner, used_bytes=int(gib * GIB), pid=pid, name="python", user="alice")


def card(
    *uses: Use, index: int = 0, fault: str = "", problem: str = "", total_gib: int | None = 24
) -> AttributedGpu:
    total = None if total_gib is None else total_gib * GIB
    sample = GpuSample(
        uuid=GpuUuid(f"GPU-{index}"),
        index=index,
        name="RTX 3090",
        total_bytes=total,
        used_bytes=None if total is None else sum(each.used_bytes for each in uses),
        fault=fault,
        problem=problem,
    )
    return AttributedGpu(sample=sample, uses=uses)


def report(
    at: float, gpus: Sequence[AttributedGpu], *, node: NodeName = NODE, problem: str = ""
) -> NodeReport:
    return NodeReport(node=node, node_id="ab", at=at, gpus=tuple(gpus), problem=problem)
