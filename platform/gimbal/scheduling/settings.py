"""What a lab may set about admission. Every default carries its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

_GIB = 1 << 30
_MIB = 1 << 20
_HOUR_S = 3600.0
_NOT_NEGATIVE = (
    "safety_bytes",
    "trifle_bytes",
    "starvation_s",
    "held_card_s",
    "preemption_min_runtime_s",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySettings:
    """Settings of the policy.

    Attributes:
        safety_bytes: Memory left over beside a job's need. 1 GiB: a CUDA context with the
            workspaces of its libraries takes about half of that outside the stated budget, and a
            neighbour may grow by the other half before it counts as foreign.
        trifle_bytes: Memory of others below which a card that is granted whole needs no margin.
            512 MiB, which is also what makes a card foreign (`foreign_threshold`): no driver leaves
            a card quite empty, so a margin for less would keep a job that fills its card off every
            card for ever, and what grows beyond it makes the card foreign anyway.
        starvation_s: A job submitted longer ago than this goes before younger ones of its
            priority, and cards that become free are kept for it. 12 hours: what is submitted in
            the evening starts in the morning. In a backlog in which most jobs are older than the
            bound, each wide one empties cards in turn: 6 hours cost 4 % of the throughput, and
            jobs took half again as long, in a simulated overload; 24 gained nothing more.
        fair_share_half_life_s: Time after which a GPU-second used counts half. A day: yesterday's
            heavy user is at the back today, last week's is not.
        held_card_s: GPU-seconds that a card held right now counts for. An hour, the order of a
            training job: without it, all jobs of the lightest user would start before anybody's.
        max_jobs_without_gpus: Jobs without GPUs that run at once. 4: each is a Ray driver with
            tasks of its own, and Ray already queues those by CPU.
        user_gpu_quota: Cards (shares count as such) a user may hold at once; None: no limit, since
            fair share already orders a full lab and a limit would idle an empty one.
        preemption: Whether a job may ask others to checkpoint and leave. On: it needs a difference
            of priorities, which somebody has to set on purpose.
        preemption_gap: The least difference of priorities for that. 1: any.
        preemption_min_runtime_s: Time a job keeps its cards before it may be asked. 10 minutes:
            starting and reloading take minutes, so less would be spent on moving alone.
        preemptions_at_once: Once this many jobs were asked in one decision, nobody else is before
            the next. 16: two nodes' worth; a burst of urgent jobs empties a cluster in steps.
    """

    safety_bytes: int = _GIB
    trifle_bytes: int = 512 * _MIB
    starvation_s: float = 12 * _HOUR_S
    fair_share_half_life_s: float = 24 * _HOUR_S
    held_card_s: float = _HOUR_S
    max_jobs_without_gpus: int = 4
    user_gpu_quota: float | None = None
    preemption: bool = True
    preemption_gap: int = 1
    preemption_min_runtime_s: float = 600.0
    preemptions_at_once: int = 16

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            ValueError: Naming the setting and what it must be.
        """
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in ("max_jobs_without_gpus", "preemption_gap", "preemptions_at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not 0 < self.fair_share_half_life_s < math.inf:
            raise ValueError(
                f"fair_share_half_life_s must be above 0, not {self.fair_share_half_life_s}"
            )
        if self.user_gpu_quota is not None and not self.user_gpu_quota > 0:
            raise ValueError(f"user_gpu_quota must be above 0, not {self.user_gpu_quota}")
