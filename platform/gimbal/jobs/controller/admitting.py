"""Asks the policy what to do with the queue, and does it: intention first.

Only what the policy said is done, one decision after the other. What a tick has no time for is
left: the next tick decides anew from what is true then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gimbal.jobs.controller.events import event, trouble
from gimbal.jobs.controller.needs import Needs
from gimbal.jobs.controller.starting import Starter
from gimbal.jobs.controller.stopping import Stopper
from gimbal.jobs.controller.waiting import WaitNotes
from gimbal.jobs.controller.world import Tick, World, plain_cards
from gimbal.jobs.model import Job, JobState, LeaseLost, Stale
from gimbal.jobs.ports import LaunchUnavailable
from gimbal.jobs.queue_view import request_of, running_of
from gimbal.scheduling.model import (
    Decision,
    JobId,
    Place,
    Preempt,
    Snapshot,
    Wait,
    WaitReason,
)
from gimbal.scheduling.policy import decide


class Admission:
    """Carries out the policy's decisions.

    Args:
        world: The outside.
        needs: Knows how much memory jobs need.
        starter: Starts attempts.
        stopper: Asks attempts to leave.
        notes: Writes why jobs wait.
    """

    def __init__(
        self, world: World, needs: Needs, starter: Starter, stopper: Stopper, notes: WaitNotes
    ) -> None:
        self._world = world
        self._needs = needs
        self._starter = starter
        self._stopper = stopper
        self._notes = notes
        self._usage: Mapping[str, float] = {}
        self._usage_at: float | None = None
        self._never_fits: dict[JobId, float] = {}

    def admit(self, tick: Tick) -> None:
        """Decide about every waiting job and act on it.

        Raises:
            LeaseLost: Another controller took over.
        """
        decisions = self._decide(tick)
        self._forget_those_that_fit(decisions)
        began = self._world.clock.monotonic()
        for decision in decisions:
            passed = self._world.clock.monotonic() - began
            late = passed > self._world.settings.start_budget_s or not tick.patient
            if isinstance(decision, Wait) or not late:
                self._guarded(tick, decision)

    def _decide(self, tick: Tick) -> Sequence[Decision]:
        snapshot = self._snapshot(tick)
        began = self._world.clock.monotonic()
        decisions = decide(
            snapshot,
            now=self._world.now().timestamp(),
            settings=self._world.policy,
        )
        self._world.stats.decision_s.observe(self._world.clock.monotonic() - began)
        return decisions

    def _snapshot(self, tick: Tick) -> Snapshot:
        now = self._world.now()
        return Snapshot(
            gpus=tick.gpus,
            running=tuple(
                running_of(job, job.current)
                for job in tick.jobs.values()
                if job.current is not None
            ),
            queue=tuple(
                request_of(job, self._needs.request_bytes(job.spec, tick.gpus), now)
                for job in tick.jobs.values()
                if _waits(job)
            ),
            usage_gpu_s=self._past_usage(),
        )

    def _past_usage(self) -> Mapping[str, float]:
        passed = self._world.clock.monotonic()
        settings = self._world.settings
        if self._usage_at is None or passed - self._usage_at >= settings.usage_refresh_s:
            self._usage = self._world.store.usage_gpu_s(
                now=self._world.now(), half_life_s=self._world.policy.fair_share_half_life_s
            )
            self._usage_at = passed
        return self._usage

    def _guarded(self, tick: Tick, decision: Decision) -> None:
        try:
            self._act(tick, decision)
        except LeaseLost:
            raise
        except Stale:
            event("job_changed_meanwhile", job=decision.job_id)
        except LaunchUnavailable as error:
            tick.unanswered.append(str(error))
        except Exception as error:  # one job's trouble must not keep the others waiting
            trouble("decision_failed", error, job=decision.job_id)

    def _act(self, tick: Tick, decision: Decision) -> None:
        job = tick.jobs.get(decision.job_id)
        if job is None:
            return
        if isinstance(decision, Place):
            self._place(tick, job, decision)
        elif isinstance(decision, Preempt):
            words = f"for job {decision.for_job}: {decision.reason}"
            self._stopper.preempt(tick, job, words)
        elif decision.reason is WaitReason.NEVER_FITS and self._for_long(job):
            self._give_up(tick, job, decision)
        else:
            tick.waiting += 1
            self._notes.note(tick, job, decision.reason.value, decision.detail)

    def _place(self, tick: Tick, job: Job, decision: Place) -> None:
        now = self._world.now()
        job = tick.saw(
            self._world.store.intend(
                self._world.lease(),
                job,
                grants=decision.grants,
                gpus=plain_cards(tick.gpus, frozenset(g.uuid for g in decision.grants)),
                now=now,
            )
        )
        attempt = job.attempts[-1]
        queued = job.attempts[-2].ended_at if len(job.attempts) > 1 else job.submitted_at
        waited_s = (now - (queued or job.submitted_at)).total_seconds()
        self._world.stats.queue_wait_s.observe(max(0.0, waited_s))
        event(
            "intended",
            job=job.id,
            attempt=attempt.number,
            uuids=",".join(grant.uuid for grant in decision.grants),
            reason=decision.reason,
        )
        self._starter.start(tick, job, attempt)

    def _for_long(self, job: Job) -> bool:
        """Return whether a job has been found to fit nowhere for long enough to be believed."""
        passed = self._world.clock.monotonic()
        since = self._never_fits.setdefault(job.id, passed)
        return passed - since >= self._world.settings.never_fits_after_s

    def _forget_those_that_fit(self, decisions: Sequence[Decision]) -> None:
        still = {
            decision.job_id
            for decision in decisions
            if isinstance(decision, Wait) and decision.reason is WaitReason.NEVER_FITS
        }
        self._never_fits = {job: at for job, at in self._never_fits.items() if job in still}

    def _give_up(self, tick: Tick, job: Job, decision: Wait) -> None:
        failed = self._world.store.fail_pending(
            self._world.lease(),
            job,
            reason=decision.reason.value,
            detail=decision.detail,
            now=self._world.now(),
        )
        tick.saw(failed)
        event("never_fits", job=job.id, detail=decision.detail)


def _waits(job: Job) -> bool:
    return job.state is JobState.PENDING and not job.cancel_requested
