"""What holds in every cluster and for every queue."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from policy_support import GIB, NOW, SETTINGS, Decided, card
from policy_worlds import worlds

from gimbal.scheduling.model import (
    Condition,
    Decision,
    Gpu,
    GpuUuid,
    Grant,
    JobId,
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

many = settings(max_examples=50, deadline=None)


def decisions(snapshot: Snapshot) -> tuple[Decision, ...]:
    return decide(snapshot, now=NOW, settings=SETTINGS)


def grants_on(snapshot: Snapshot, result: Decided) -> dict[GpuUuid, list[tuple[Grant, bool]]]:
    """Return what is granted on each card, and whether only just now."""
    on: dict[GpuUuid, list[tuple[Grant, bool]]] = defaultdict(list)
    for job in snapshot.running:
        for grant in job.grants:
            on[grant.uuid].append((grant, False))
    for place in result.places.values():
        for grant in place.grants:
            on[grant.uuid].append((grant, True))
    return on


@many
@given(worlds())
def test_a_grant_is_for_a_card_that_can_take_it(snapshot: Snapshot) -> None:
    """Free or shared by us, never twice whole, never over its share, never over its memory."""
    result = Decided(decisions(snapshot))
    cards = {gpu.uuid: gpu for gpu in snapshot.gpus}
    for uuid, grants in grants_on(snapshot, result).items():
        new = [grant for grant, is_new in grants if is_new]
        if not new:
            continue
        gpu = cards[uuid]
        shared = all(grant.share < 1 and grant.memory_bytes is not None for grant, _ in grants)
        if gpu.condition is not Condition.FREE:
            assert gpu.condition is Condition.OURS
            assert shared
            assert len(grants) > len(new), "ours only through shares of our own grants"
        if not shared:
            assert len(grants) == 1
        assert sum(grant.share for grant, _ in grants) <= 1 + 1e-9
        needed = sum(grant.memory_bytes or 0 for grant, _ in grants)
        crowded = gpu.foreign_bytes >= SETTINGS.trifle_bytes
        margin = SETTINGS.safety_bytes if shared or crowded else 0
        assert needed + gpu.foreign_bytes + margin <= gpu.total_bytes


@many
@given(worlds())
def test_a_gang_is_whole_and_as_it_was_asked_for(snapshot: Snapshot) -> None:
    result = Decided(decisions(snapshot))
    for request in snapshot.queue:
        place = result.places.get(request.job_id)
        if place is not None:
            assert len({grant.uuid for grant in place.grants}) == len(place.grants) == request.gpus
            assert not request.avoid & {grant.uuid for grant in place.grants}
            assert request.not_before <= NOW
            assert all(grant.memory_bytes == request.memory_bytes for grant in place.grants)


@many
@given(worlds())
def test_every_job_is_answered_once_and_only_running_ones_are_asked_to_leave(
    snapshot: Snapshot,
) -> None:
    found = decisions(snapshot)
    answered = [d.job_id for d in found if isinstance(d, Place | Wait)]
    assert sorted(answered) == sorted(request.job_id for request in snapshot.queue)
    asked = [d for d in found if isinstance(d, Preempt)]
    assert len({d.job_id for d in asked}) == len(asked)
    jobs = {job.job_id: job for job in snapshot.running}
    waiting = {request.job_id: request for request in snapshot.queue}
    for preempt in asked:
        assert not jobs[preempt.job_id].stopping
        assert jobs[preempt.job_id].priority < waiting[preempt.for_job].priority


@many
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(snapshot: Snapshot, chance: random.Random) -> None:
    def shuffled(values: tuple) -> tuple:
        return tuple(chance.sample(values, len(values)))

    other = replace(
        snapshot,
        gpus=shuffled(snapshot.gpus),
        running=shuffled(snapshot.running),
        queue=shuffled(snapshot.queue),
    )
    assert decisions(other) == decisions(snapshot)


@many
@given(worlds())
def test_whoever_waits_would_also_wait_without_those_behind(snapshot: Snapshot) -> None:
    """So no card went to somebody behind that a job ahead could have used."""
    found = [d for d in decisions(snapshot) if isinstance(d, Place | Wait)]
    for i, decision in enumerate(found):
        ahead = {d.job_id for d in found[: i + 1]}
        fewer = replace(snapshot, queue=tuple(r for r in snapshot.queue if r.job_id in ahead))
        again = {d.job_id: d for d in decisions(fewer) if isinstance(d, Place | Wait)}
        assert again[decision.job_id] == decision


@many
@given(worlds())
def test_whoever_waits_for_cards_could_not_be_placed(snapshot: Snapshot) -> None:
    """Checked by counting, not by the policy's own lists."""
    result = Decided(decisions(snapshot))
    on = grants_on(snapshot, result)
    left = [gpu for gpu in snapshot.gpus if gpu.condition is Condition.FREE and gpu.uuid not in on]
    others = (WaitReason.BACKOFF, WaitReason.SLOT, WaitReason.BEHIND, WaitReason.PREEMPTING)
    kept = any("kept for it" in wait.detail for wait in result.waits.values())
    for request in snapshot.queue:
        wait = result.waits.get(request.job_id)
        if wait is None or kept or request.share < 1 or wait.reason in others:
            continue
        fitting = [gpu for gpu in left if _fits(request, gpu)]
        assert len(fitting) < request.gpus


def _fits(request: Request, gpu: Gpu) -> bool:
    need = request.memory_bytes or 0
    margin = SETTINGS.safety_bytes if gpu.foreign_bytes >= SETTINGS.trifle_bytes else 0
    left = gpu.total_bytes - gpu.foreign_bytes - margin
    return gpu.uuid not in request.avoid and (request.memory_bytes is None or need <= left)


@many
@given(worlds())
def test_those_who_are_asked_to_leave_suffice(snapshot: Snapshot) -> None:
    """Were they gone and their cards free, the one they leave for would start."""
    found = decisions(snapshot)
    asked = [d for d in found if isinstance(d, Preempt)]
    if not asked:
        return
    first = asked[0].for_job
    gone = {d.job_id for d in asked if d.for_job == first}
    gone |= {job.job_id for job in snapshot.running if job.stopping}
    staying = [job for job in snapshot.running if job.job_id not in gone]
    ahead = found[: found.index(asked[0])]
    staying += [_as_running(place) for place in ahead if isinstance(place, Place)]
    held = {grant.uuid for job in staying for grant in job.grants}
    left = {grant.uuid for job in snapshot.running for grant in job.grants} - held
    usable = (Condition.OURS, Condition.FREE)
    gpus = tuple(
        replace(gpu, condition=Condition.FREE) if gpu.uuid in left else gpu
        for gpu in (replace(g, own_bytes=0) if g.condition in usable else g for g in snapshot.gpus)
        if gpu.condition in usable
    )
    queue = tuple(request for request in snapshot.queue if request.job_id == first)
    after = decisions(Snapshot(gpus=gpus, running=tuple(staying), queue=queue))
    assert [type(decision) for decision in after] == [Place]


def _as_running(place: Place) -> Running:
    return Running(job_id=place.job_id, user="", priority=9, started_at=NOW, grants=place.grants)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_in_a_full_stream_of_small_jobs_a_wide_one_starts_within_the_bound(
    seed: int, shares: bool
) -> None:
    """Twice as much work arrives as fits, for ever; the bound and two job lengths suffice."""
    longest, bound = 1000.0, 2000.0
    wide_at = 500.0
    started = _stream(seed, shares=shares, longest=longest, bound=bound, wide_at=wide_at)
    assert started - wide_at <= bound + 2 * longest


def _stream(seed: int, *, shares: bool, longest: float, bound: float, wide_at: float) -> float:
    """Return when the wide job starts."""
    chance = random.Random(seed)
    names = range(4)
    queue: dict[JobId, Request] = {}
    active: dict[JobId, Running] = {}
    ends: list[tuple[float, JobId]] = []
    wide = Request(job_id=JobId("wide"), user="w", submitted_at=wide_at, gpus=4)
    small = Request(job_id=JobId(""), user="s", submitted_at=0.0, gpus=1)
    if shares:
        small = replace(small, share=0.25, memory_bytes=4 * GIB)
    now, number = 0.0, 0
    per_step = 4 if shares else 1
    while now < 20_000:
        now += longest / 16
        while ends and ends[0][0] <= now:
            del active[heapq.heappop(ends)[1]]
        for _ in range(per_step):
            number += 1
            name = JobId(f"s{number}")
            queue[name] = replace(small, job_id=name, submitted_at=now)
        if now >= wide_at:
            queue[wide.job_id] = wide
        busy = {grant.uuid for job in active.values() for grant in job.grants}
        gpus = [card(i) for i in names]
        snapshot = Snapshot(
            gpus=tuple(
                replace(gpu, condition=Condition.OURS if gpu.uuid in busy else Condition.FREE)
                for gpu in gpus
            ),
            running=tuple(active.values()),
            queue=tuple(queue.values()),
        )
        policy = PolicySettings(starvation_s=bound)
        for place in Decided(decide(snapshot, now=now, settings=policy)).places.values():
            if place.job_id == wide.job_id:
                return now
            request = queue.pop(place.job_id)
            active[place.job_id] = Running(
                job_id=place.job_id,
                user=request.user,
                priority=0,
                started_at=now,
                grants=place.grants,
            )
            heapq.heappush(ends, (now + chance.uniform(0.3, 1) * longest, place.job_id))
    return now
