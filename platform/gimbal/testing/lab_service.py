"""The real job service in a simulated lab: controller, policy, occupancy and store, unchanged.

Only the two ports to the outside are made up: the warden looks at the lab's cards through the real
`Occupancy`, the launcher starts attempts in the lab and leaves the files a driver would. Two runs
of a seed agree until a job is tried again: how long it waits then depends on its id, and ids are
the store's own random ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from gimbal.experiment.attempt import (
    EXIT_CONTENDED,
    AttemptFolder,
    FailureFile,
    OutcomeFile,
    WorkerFile,
)
from gimbal.gpus.model import AttributedGpu, GpuSample, NodeReport, Owner, Use
from gimbal.gpus.occupancy import HeldCard, Occupancy
from gimbal.gpus.settings import OccupancySettings
from gimbal.jobs.attempt_files import attempt_folder
from gimbal.jobs.controller import Controller
from gimbal.jobs.model import Attempt, Hold, Job, JobSpec
from gimbal.jobs.ports import LaunchReport, LaunchStatus, ReserveFailed
from gimbal.jobs.ray_warden import held_cards
from gimbal.jobs.settings import ControllerSettings
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.scheduling.model import Condition, Gpu, GpuUuid, Grant, NodeName
from gimbal.scheduling.settings import PolicySettings
from gimbal.testing.clock import ManualClock
from gimbal.testing.lab import Lab
from gimbal.testing.lab_attempt import End, LabAttempt, LabCard
from gimbal.testing.lab_scenario import LabJob

_NODE = NodeName("lab")
_QUIET_S = 60.0
"""The controller's rounds are skipped for so long while no card, job or attempt changes. The real
one does a round a second, so this only ever delays it here."""


class LabWarden:
    """A `GpuWarden` over a lab's cards.

    Args:
        lab: The lab.
        clock: The time.
        settings: Of the occupancy.
    """

    def __init__(self, lab: Lab, clock: ManualClock, settings: OccupancySettings) -> None:
        self._lab, self._clock = lab, clock
        self._occupancy = Occupancy(settings)
        self._held: dict[str, tuple[Grant, ...]] = {}
        self._holds: tuple[HeldCard, ...] = ()

    def look(self) -> None:
        """Take a sample, as the node's agent does every few seconds."""
        now = self._clock.timestamp()
        gpus = tuple(_attributed(card) for card in self._lab.cards)
        report = NodeReport(node=_NODE, node_id="lab", at=now, gpus=gpus)
        self._occupancy.observe(report, now=now)

    def snapshot(self) -> tuple[Gpu, ...]:
        """Return every card."""
        return self._occupancy.snapshot(now=self._clock.timestamp(), holds=self._holds)

    def reserve(self, submission_id: str, grants: Sequence[Grant]) -> tuple[tuple[str, int], ...]:
        """Look once more, then take these cards."""
        self.look()
        seen = {gpu.uuid: gpu for gpu in self.snapshot()}
        for grant in grants:
            condition = seen[grant.uuid].condition
            if condition not in (Condition.FREE, Condition.OURS):
                raise ReserveFailed(f"{seen[grant.uuid].label} is {condition.value}")
        self._held[submission_id] = tuple(grants)
        return tuple((grant.uuid, seen[grant.uuid].index) for grant in grants)

    def free(self, submission_id: str) -> None:
        """Let go of an attempt's cards."""
        self._held.pop(submission_id, None)

    def reservations(self) -> tuple[str, ...]:
        """Return who holds cards."""
        return tuple(self._held)

    def set_holds(self, holds: Sequence[Hold]) -> None:
        """Replace the holds of people."""
        self._holds = held_cards(holds)

    def set_quarantines(self, cards: Mapping[GpuUuid, str]) -> None:
        """Refuse any: no card of the lab breaks."""
        if cards:
            raise NotImplementedError(f"cards were quarantined: {cards}")


def _attributed(card: LabCard) -> AttributedGpu:
    guests = [(Owner.FOREIGN_USER, pid, size) for pid, size in card.guests.items()]
    own = [(Owner.OWN_LIVE, 0, size) for size in card.own.values() if size]
    sample = GpuSample(
        uuid=card.uuid,
        index=card.index,
        name="fake",
        total_bytes=card.total_bytes,
        used_bytes=card.total_bytes - card.room_bytes(),
    )
    uses = tuple(
        Use(owner=owner, used_bytes=size, pid=pid, name="python", user="colleague")
        for owner, pid, size in (*guests, *own)
    )
    return AttributedGpu(sample=sample, uses=uses)


class LabLauncher:
    """A `Launcher` that starts attempts in a lab.

    Args:
        lab: The lab.
        clock: The time.
        runs_dir: The service's runs folder.
    """

    def __init__(self, lab: Lab, clock: ManualClock, runs_dir: Path) -> None:
        self._lab, self._clock, self._runs_dir = lab, clock, runs_dir
        self._jobs = {job.name: job for job in lab.scenario.jobs}
        self._cards = {card.uuid: card for card in lab.cards}
        self._folders: dict[str, AttemptFolder] = {}
        self._reports: dict[str, LaunchReport] = {}
        lab.on_end = self._ended

    def launch(self, job: Job, attempt: Attempt) -> None:
        """Start an attempt; one that was started already is left alone."""
        name = attempt.submission_id
        if name in self._folders:
            return
        self._folders[name] = attempt_folder(self._runs_dir, job.id, attempt.number)
        self._reports[name] = LaunchReport(status=LaunchStatus.RUNNING)
        cards = tuple(self._cards[grant.uuid] for grant in attempt.grants)
        self._lab.start(name, self._jobs[job.spec.experiment], cards, guarded=True)

    def reports(self) -> Mapping[str, LaunchReport]:
        """Return how every attempt stands that is remembered."""
        return dict(self._reports)

    def stop(self, submission_id: str) -> None:
        """Refuse: nobody is asked to leave where all have one priority."""
        raise NotImplementedError(f"{submission_id} was to be stopped")

    def forget(self, submission_id: str) -> None:
        """Drop an ended attempt."""
        self._reports.pop(submission_id, None)

    def _ended(self, attempt: LabAttempt) -> None:
        name = attempt.name
        folder = self._folders[name]
        at = self._clock.timestamp()
        if attempt.held:
            uuids = tuple(card.uuid for card in attempt.cards)
            peak = attempt.job.need_bytes
            folder.write("worker-0", WorkerFile(rank=0, uuids=uuids, peak_bytes=peak, at=at))
        if attempt.end is End.DONE:
            folder.write("outcome", OutcomeFile(exit_code=0, at=at))
            self._reports[name] = LaunchReport(status=LaunchStatus.SUCCEEDED, exit_code=0)
            return
        kind, text, code = _WORDS[attempt.end or End.DIED]
        gpus = tuple(_card_then(card, attempt) for card in attempt.cards)
        failure = FailureFile(rank=0, error_type=kind, text=text, gpus=gpus, at=at)
        folder.write("failure-0", failure)
        outcome = OutcomeFile(exit_code=code, error_type=kind, message=text, at=at)
        folder.write("outcome", outcome)
        self._reports[name] = LaunchReport(status=LaunchStatus.FAILED, exit_code=code)


_WORDS = {
    End.BOUNCED: (
        "gimbal.experiment.attempt.GpuContended",
        "somebody else holds the memory this run needs",
        EXIT_CONTENDED,
    ),
    End.DIED: ("torch.OutOfMemoryError", "CUDA out of memory. Tried to allocate 300.00 MiB.", 1),
}


def _card_then(card: LabCard, attempt: LabAttempt) -> dict[str, object]:
    own = attempt.job.need_bytes if attempt.held else 0
    return {
        "uuid": card.uuid,
        "total_bytes": card.total_bytes,
        "used_bytes": card.foreign_bytes + own,
        "own_bytes": own,
    }


class ServiceScheduler:
    """Starts the lab's jobs with the real service.

    Args:
        lab: The lab.
        runs_dir: An empty folder.
        policy: Settings of the policy; None: the defaults, here and below.
        occupancy: Settings of the occupancy.
    """

    def __init__(
        self,
        lab: Lab,
        runs_dir: Path,
        policy: PolicySettings | None = None,
        occupancy: OccupancySettings | None = None,
    ) -> None:
        self._lab = lab
        self._clock = ManualClock()
        self._warden = LabWarden(lab, self._clock, occupancy or OccupancySettings())
        self._store = SqlJobStore("sqlite://")
        self._controller = Controller(
            store=self._store,
            launcher=LabLauncher(lab, self._clock, runs_dir),
            warden=self._warden,
            clock=self._clock,
            runs_dir=runs_dir,
            # Files of attempts say nothing new here while they run.
            settings=ControllerSettings(observe_s=600.0, lease_s=10 * _QUIET_S),
            policy=policy,
        )
        self._gpus: tuple[Gpu, ...] = ()
        self._known: tuple[object, ...] = ()
        self._round_s = -_QUIET_S
        self._submitted = 0

    def submit(self, job: LabJob) -> None:
        """Put a job into the queue."""
        self._follow()
        spec = JobSpec(
            workload="lab",
            experiment=job.name,
            config={"workload": "lab", "experiment": job.name},
            user=job.user,
            gpus=job.gpus,
            memory_bytes=job.need_bytes,
            peak_key=job.name,
        )
        self._store.submit(spec, now=self._clock.now())
        self._submitted += 1

    def step(self) -> None:
        """Look at the cards and do one round of the controller, if there is news."""
        self._follow()
        self._warden.look()
        self._gpus = self._warden.snapshot()
        known = (
            tuple(gpu.condition for gpu in self._gpus),
            self._submitted,
            sum(attempt.end is not None for attempt in self._lab.attempts),
        )
        if known != self._known or self._lab.now_s - self._round_s >= _QUIET_S:
            self._known, self._round_s = known, self._lab.now_s
            self._controller.tick()

    def held_back(self) -> int:
        """Return how many cards are clean and idle but not granted for want of trust."""
        trusted = (Condition.FREE, Condition.OURS)
        clean = {card.uuid for card in self._lab.cards if not card.guests and not card.own}
        return sum(gpu.uuid in clean and gpu.condition not in trusted for gpu in self._gpus)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _follow(self) -> None:
        """Let the service's clock show the lab's time."""
        behind = self._lab.now_s - self._clock.monotonic()
        self._clock.advance(timedelta(seconds=behind).total_seconds())
