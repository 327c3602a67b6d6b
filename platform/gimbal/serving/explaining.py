"""Why a job stands as it does: the policy asked about the job, for the API to tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gimbal.jobs.model import Job, JobState
from gimbal.jobs.ports import Clock, JobStore
from gimbal.jobs.queue_view import needed_bytes, request_of, running_of
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
        if job.state is not JobState.PENDING:
            return Standing(headline=_headline(job))
        cards = self._gpus()
        now = self._clock.now()
        found = explain(
            request_of(job, self._need(job, cards), now),
            self._snapshot(cards),
            now=now.timestamp(),
            settings=self._settings.policy,
        )
        ordered = sorted(cards, key=lambda gpu: (gpu.node, gpu.index))
        return Standing(
            headline=f"{found.headline}; {found.line}",
            position=found.position,
            gpus=tuple(
                CardSentence(gpu=gpu.label, sentence=sentence)
                for gpu, sentence in zip(ordered, found.gpus, strict=True)
            ),
        )

    def _snapshot(self, cards: Sequence[Gpu]) -> Snapshot:
        active = self._store.active()
        now = self._clock.now()
        policy = self._settings.policy
        return Snapshot(
            gpus=tuple(cards),
            running=tuple(running_of(job, job.current) for job in active if job.current),
            queue=tuple(
                request_of(job, self._need(job, cards), now)
                for job in active
                if job.state is JobState.PENDING and not job.cancel_requested
            ),
            usage_gpu_s=self._store.usage_gpu_s(now=now, half_life_s=policy.fair_share_half_life_s),
        )

    def _need(self, job: Job, cards: Sequence[Gpu]) -> int | None:
        peak = self._store.peak(job.spec.peak_key) if job.spec.gpus and job.spec.peak_key else 0
        margin = self._settings.controller.peak_margin
        return needed_bytes(job.spec.memory_bytes, peak, margin, cards)


def _headline(job: Job) -> str:
    if job.state is JobState.RUNNING:
        attempt = job.current
        cards = len(attempt.grants) if attempt else 0
        on = f" on {cards} {'card' if cards == 1 else 'cards'}" if cards else ""
        return job.detail or f"it runs{on}"
    return job.detail or f"it is {job.state.value.lower()}"
