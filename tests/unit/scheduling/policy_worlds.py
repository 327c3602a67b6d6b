"""Random clusters and queues, small enough that rules collide."""

from __future__ import annotations

from hypothesis import strategies as st
from policy_support import GIB, NOW

from gimbal.scheduling.model import (
    Condition,
    Gpu,
    GpuUuid,
    Grant,
    JobId,
    NodeName,
    Request,
    Running,
    Snapshot,
)

_CONDITIONS = [Condition.FREE] * 4 + [Condition.OURS] * 3 + list(Condition)
_USERS = st.sampled_from(["alice", "bob", "carol"])
_SHARES = st.sampled_from([0.1, 0.25, 0.4, 0.5, 0.75])


@st.composite
def _card(draw: st.DrawFn, number: int) -> Gpu:
    condition = draw(st.sampled_from(_CONDITIONS))
    node = NodeName(draw(st.sampled_from("abc")))
    foreign = draw(st.sampled_from([0.0, 0.0, 0.3, 0.7]))
    if condition is Condition.FOREIGN:
        foreign = 14.0
    return Gpu(
        uuid=GpuUuid(f"GPU-{number}"),
        node=node,
        index=number,
        name="fake",
        total_bytes=draw(st.sampled_from([24, 24, 48])) * GIB,
        condition=condition,
        foreign_bytes=int(foreign * GIB),
        own_bytes=draw(st.sampled_from([0, 4])) * GIB if condition is Condition.OURS else 0,
    )


@st.composite
def _holding(draw: st.DrawFn, gpus: list[Gpu]) -> list[Running]:
    """Let jobs hold cards as earlier decisions would have granted them."""
    jobs: list[Running] = []
    busy = [gpu for gpu in gpus if gpu.condition is Condition.OURS or draw(st.integers(0, 5)) == 0]
    while busy:
        if draw(st.booleans()):
            on, busy = busy[:2], busy[2:]
            grants = [(1.0, draw(st.sampled_from([None, 8 * GIB])), gpu) for gpu in on]
            jobs.append(draw(_running(len(jobs), grants)))
        else:
            gpu = busy.pop()
            for _ in range(draw(st.integers(0, 2))):
                jobs.append(draw(_running(len(jobs), [(draw(_SHARES) / 2, 6 * GIB, gpu)])))
    return jobs


@st.composite
def _running(draw: st.DrawFn, number: int, on: list[tuple[float, int | None, Gpu]]) -> Running:
    return Running(
        job_id=JobId(f"r{number}"),
        user=draw(_USERS),
        priority=draw(st.integers(0, 2)),
        started_at=NOW - draw(st.sampled_from([10.0, 1000.0, 5000.0])),
        grants=tuple(
            Grant(uuid=gpu.uuid, node=gpu.node, share=share, memory_bytes=memory)
            for share, memory, gpu in on
        ),
        stopping=draw(st.integers(0, 4)) == 0,
    )


@st.composite
def _request(draw: st.DrawFn, number: int, gpus: list[Gpu]) -> Request:
    count = draw(st.sampled_from([0, 1, 1, 1, 2, 3, 5]))
    share = draw(_SHARES) if count == 1 and draw(st.booleans()) else 1.0
    memory = draw(st.sampled_from([None, 4, 10, 20, 23, 24, 40]))
    if share < 1:
        memory = memory or 4
    avoid = draw(st.sets(st.sampled_from(gpus), max_size=2)) if gpus else set()
    return Request(
        job_id=JobId(f"q{number}"),
        user=draw(_USERS),
        priority=draw(st.integers(0, 3)),
        submitted_at=NOW - draw(st.sampled_from([10.0, 100.0, 30_000.0, 50_000.0])),
        gpus=count,
        share=share,
        memory_bytes=None if memory is None else memory * GIB,
        not_before=NOW + 5 if draw(st.integers(0, 9)) == 0 else 0.0,
        avoid=frozenset(gpu.uuid for gpu in avoid) if draw(st.integers(0, 3)) == 0 else frozenset(),
    )


@st.composite
def worlds(draw: st.DrawFn) -> Snapshot:
    """Return a snapshot that could have come about."""
    gpus = [draw(_card(i)) for i in range(draw(st.integers(0, 7)))]
    queue = [draw(_request(i, gpus)) for i in range(draw(st.integers(0, 7)))]
    usage = {user: draw(st.sampled_from([0.0, 3600.0, 9000.0])) for user in ("alice", "bob")}
    return Snapshot(
        gpus=tuple(gpus),
        running=tuple(draw(_holding(gpus))),
        queue=tuple(queue),
        usage_gpu_s=usage,
    )
