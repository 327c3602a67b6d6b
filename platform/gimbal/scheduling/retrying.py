"""Whether a failed job is tried again, and when.

Each class has a budget of its own: three lost connections say nothing about a card that failed.
What was nobody's fault in the job, a neighbour, a lost node, room made for others, is never counted
and never given up on; waiting costs nothing, since a job that waits holds no card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gimbal.scheduling.failure_model import (
    Diagnosis,
    FailureClass,
    GiveUp,
    Retry,
    RetryDecision,
)

UNCOUNTED = frozenset({FailureClass.CONTENTION, FailureClass.INFRA, FailureClass.PREEMPTED})
"""Classes that never count and never exhaust."""

_ADVICE = {
    FailureClass.OOM_INTRINSIC: "the same job would run out of memory on any card of that size",
    FailureClass.USER_CODE: "mend its cause, then `gimbal jobs retry` continues from the last "
    "checkpoint",
    FailureClass.UNKNOWN: "what is not understood is not repeated on shared machines; read the "
    "log, and `gimbal jobs retry` if it was an accident",
}
_NEXT = {
    FailureClass.CONTENTION: "on a card that is free",
    FailureClass.PREEMPTED: "from its checkpoint",
    FailureClass.HARDWARE: "on another card",
    FailureClass.NATIVE_CRASH: "on another card",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrySettings:
    """How often and how soon failed jobs are tried again.

    Attributes:
        oom_host: Tries after the host ran out of memory. Whoever else filled it is often gone
            minutes later; a job that fills it alone is stopped before it has killed many others.
        hardware: Tries after a card failed, each on other cards. The second bad card of one job is
            bad luck; the fourth says that the job, or the node, is what breaks them.
        communication: Tries after workers lost each other and none says why. Networks recover
            within minutes; a deadlock in the code does not.
        native_crash: Tries after a crash below Python: one, on another card, which tells a bad card
            from bad code.
        base_s: Wait before the second attempt. Most passing trouble has passed by then, and 2^(n-1)
            seconds follow from it for the n-th.
        cap_s: Longest wait. Five minutes: a colleague's run is rarely shorter, and nobody wants a
            free card to idle longer because of a timer.
        preempted_cap_s: Longest wait after making room. The queue decides when there is room again;
            this only keeps two jobs from pushing each other out by turns.
        max_elapsed_s: Counted failures are given up this long after the first one, however many
            tries are left: a job that has failed for a day needs a person.
        jitter: Share of a wait that is left to chance, so that jobs one failure stopped together
            do not come back together. Half spreads them well and keeps the order of magnitude.
    """

    oom_host: int = 3
    hardware: int = 3
    communication: int = 3
    native_crash: int = 1
    base_s: float = 1.0
    cap_s: float = 300.0
    preempted_cap_s: float = 30.0
    max_elapsed_s: float = 86_400.0
    jitter: float = 0.5

    def budget(self, failure: FailureClass) -> int | None:
        """Return how often a class is tried again; None: always."""
        if failure in UNCOUNTED:
            return None
        budgets = {
            FailureClass.OOM_HOST: self.oom_host,
            FailureClass.HARDWARE: self.hardware,
            FailureClass.COMMUNICATION: self.communication,
            FailureClass.NATIVE_CRASH: self.native_crash,
        }
        return budgets.get(failure, 0)


def decide_retry(
    history: Sequence[FailureClass],
    diagnosis: Diagnosis,
    *,
    now: float,
    first_failure_at: float | None = None,
    settings: RetrySettings,
    seed: str | int,
) -> RetryDecision:
    """Decide on a failed attempt.

    Args:
        history: Classes of the earlier failed attempts, oldest first, without this one.
        diagnosis: What this failure was.
        now: Unix seconds.
        first_failure_at: When the job failed for the first time; None: just now.
        settings: Budgets and waits.
        seed: Names the job: its waits differ from other jobs' and are the same when asked again.

    Returns:
        `Retry` with the earliest time, or `GiveUp`. The reason says what is done about the failure
        and why; it does not repeat the diagnosis.
    """
    failure = diagnosis.failure
    budget, tried = settings.budget(failure), list(history).count(failure)
    if budget == 0:
        advice = _ADVICE.get(failure, "its budget for this kind of failure is 0")
        return GiveUp(reason=f"It is not tried again: {advice}.")
    if budget is not None and tried >= budget:
        return GiveUp(
            reason=f"It is not tried again: it has failed like this {_times(tried + 1)}, and a job "
            f"is tried again {_times(budget)} after {_KINDS[failure]}."
        )
    if budget is not None and now - (now if first_failure_at is None else first_failure_at) > (
        settings.max_elapsed_s
    ):
        hours = settings.max_elapsed_s / 3600
        return GiveUp(
            reason=f"It is not tried again: its first failure was more than {hours:g} h ago."
        )
    wait_s = backoff_s(history, failure, settings=settings, seed=seed)
    where = f" {_NEXT[failure]}" if failure in _NEXT else ""
    count = "this does not count" if budget is None else f"try {tried + 1} of {budget}"
    return Retry(
        at=now + wait_s,
        reason=f"It is tried again{where} after {max(1, round(wait_s))} s ({count}).",
    )


def backoff_s(
    history: Sequence[FailureClass],
    failure: FailureClass,
    *,
    settings: RetrySettings,
    seed: str | int,
) -> float:
    """Return how long to wait: doubled with every failure of the class, capped, with jitter.

    For classes that never count only the failures in a row matter: a neighbour last week is no
    reason to wait long today.
    """
    row = list(history).count(failure) if failure not in UNCOUNTED else _in_a_row(history, failure)
    cap_s = settings.preempted_cap_s if failure is FailureClass.PREEMPTED else settings.cap_s
    wait_s = min(cap_s, settings.base_s * 2.0 ** min(row, 60))
    return wait_s * (1.0 - settings.jitter * _chance(f"{seed}:{len(history) + 1}"))


_KINDS = {
    FailureClass.OOM_HOST: "its host ran out of memory",
    FailureClass.HARDWARE: "a card failed",
    FailureClass.COMMUNICATION: "its workers lost each other",
    FailureClass.NATIVE_CRASH: "a crash below Python",
}


def _in_a_row(history: Sequence[FailureClass], failure: FailureClass) -> int:
    count = 0
    for earlier in reversed(history):
        if earlier is not failure:
            break
        count += 1
    return count


def _chance(text: str) -> float:
    """Return a number in [0, 1) that is the same for the same text everywhere."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
