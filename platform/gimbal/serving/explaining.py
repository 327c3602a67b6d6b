"""Why a job stands as it does: the policy asked about the job, for the API to tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gimbal.jobs.model import Job, JobState, StopWhy
from gimbal.jobs.ports import Clock, JobStore
from gimbal.jobs.queue_view import Rooms, needed_bytes, request_of, running_of
from gimbal.scheduling.explaining import explain
from gimbal.scheduling.model import Gpu, JobId, Snapshot
from gimbal.serving.settings import ServeSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class CardSentence:
    """One card, and why the job is not on it.

    Attributes:
        gpu: `NODE:INDEX`.
        sentence: What stands between them.
    """

    gpu: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Why a job stands as it does.

    Attributes:
        headline: In one sentence.
        position: Its place in the queue, from 1; None: it does not wait.
        gpus: One sentence a card.
    """

    headline: str
    position: int | None = None
    gpus: tuple[CardSentence, ...] = ()


class Explainer:
    """Explains jobs from the store and the last snapshot.

    Args:
        store: The truth about jobs.
        gpus: Returns every card as last seen.
        clock: Time.
        settings: The policy's and the controller's.
    """

    def __init__(
        self,
        store: JobStore,
        gpus: Callable[[], tuple[Gpu, ...]],
        clock: Clock,
        settings: ServeSettings,
    ) -> None:
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self._settings = settings

    def explain(self, job_id: JobId) -> Standing:
        """Explain a job.

        Raises:
            JobNotFound: There is none of that id.
        """
        job = self._store.get(job_id)
        cards = self._gpus()
        if job.state is not JobState.PENDING:
            return _standing(job, cards)
        now = self._clock.now()
        rooms = Rooms(cards, self._settings.policy)
        found = explain(
            request_of(job, self._need(job, rooms), now),
            self._snapshot(cards, rooms),
            now=now.timestamp(),
            settings=self._settings.policy,
        )
        ordered = sorted(cards, key=lambda gpu: (gpu.node, gpu.index))
        return Standing(
            headline="; ".join((found.headline, found.line, *_last_failure(job))),
            position=found.position,
            gpus=tuple(
                CardSentence(gpu=gpu.label, sentence=sentence)
                for gpu, sentence in zip(ordered, found.gpus, strict=True)
            ),
        )

    def _snapshot(self, cards: Sequence[Gpu], rooms: Rooms) -> Snapshot:
        active = self._store.active()
        now = self._clock.now()
        policy = self._settings.policy
        return Snapshot(
            gpus=tuple(cards),
            running=tuple(running_of(job, job.current) for job in active if job.current),
            queue=tuple(
                request_of(job, self._need(job, rooms), now)
                for job in active
                if job.state is JobState.PENDING and not job.cancel_requested
            ),
            usage_gpu_s=self._store.usage_gpu_s(now=now, half_life_s=policy.fair_share_half_life_s),
        )

    def _need(self, job: Job, rooms: Rooms) -> int | None:
        peak = self._store.peak(job.spec.peak_key) if job.spec.gpus and job.spec.peak_key else 0
        margin = self._settings.controller.peak_margin
        return needed_bytes(job.spec, peak, margin, rooms)


def _last_failure(job: Job) -> tuple[str, ...]:
    """Return how a waiting job's last attempt failed, if it did."""
    last = job.attempts[-1] if job.attempts else None
    if last is None or last.failure is None:
        return ()
    return (f"attempt {last.number} ended: {last.reason}",)


def _standing(job: Job, cards: Sequence[Gpu]) -> Standing:
    """Return how a job stands that does not wait, with its cards while it has any."""
    attempt = job.current
    if attempt is None:
        return Standing(headline=job.detail or f"it is {job.state.value.lower()}")
    given = {grant.uuid for grant in attempt.grants}
    own = [gpu for gpu in cards if gpu.uuid in given]
    on = f" on {', '.join(gpu.label for gpu in own)}" if own else ""
    words = f"attempt {attempt.number} runs{on} since {attempt.granted_at:%H:%M:%S} UTC"
    if attempt.stop_why is not None:
        reason = "another job" if attempt.stop_why is StopWhy.PREEMPT else "its user"
        words += f"; it was asked to leave for {reason}"
    sentences = tuple(
        CardSentence(gpu=gpu.label, sentence=f"{gpu.label} {gpu.note or 'is given to this job'}")
        for gpu in own
    )
    return Standing(headline=words, gpus=sentences)
