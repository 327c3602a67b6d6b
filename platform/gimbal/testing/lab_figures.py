"""Run a scenario under a policy and say in numbers how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from gimbal.testing.lab import Lab
from gimbal.testing.lab_attempt import End
from gimbal.testing.lab_baselines import ORDERS, fifo, first_fit, oracle
from gimbal.testing.lab_scenario import LabJob, Scenario
from gimbal.testing.lab_service import ServiceScheduler

STEP_S = 5.0
"""How often cards are looked at and decisions made, for every policy."""
_PATIENCE = 8
"""A policy that has not finished after so many times the span of submissions never will."""
POLICIES = ("default", "first_fit", "fifo", "oracle")


class Scheduler(Protocol):
    """Something that starts jobs in a lab."""

    def submit(self, job: LabJob) -> None:
        """Put a job into the queue."""
        ...

    def step(self) -> None:
        """Start what should start now."""
        ...

    def held_back(self) -> int:
        """Return how many cards are clean and idle but not granted for want of trust."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """How it went.

    Attributes:
        finished: Jobs that reached their end.
        deaths_after_admission: See `gimbal.testing.lab`.
        bounces: Attempts that left again at once, as a colleague had come during their start.
        goodput: GPU-seconds of training that counted, for each card-second that no colleague
            wanted, while jobs were being submitted: there was work for every card then. It may
            exceed 1, since a job that is there before a colleague keeps its card.
        mean_jct_s: Mean time from submission to end.
        wait_p99_s: 99th percentile of a job's time from submission to end, less its work.
        wait_max_s: The same at its most.
        false_holds: Card-seconds in which a card was clean, idle and not trusted, as a share of
            those in which it was clean, while jobs were being submitted.
        lost_gpu_s: GPU-seconds that attempts held without getting on: starts, work that was lost,
            and half of the time beside a colleague.
        end_s: When the last job ended.
    """

    finished: int
    deaths_after_admission: int
    bounces: int
    goodput: float
    mean_jct_s: float
    wait_p99_s: float
    wait_max_s: float
    false_holds: float
    lost_gpu_s: float
    end_s: float


def run(scenario: Scenario, policy: str) -> Figures:
    """Let a policy do all jobs of a scenario.

    The oracle knows beforehand which of its orders gives the most goodput, and takes that one.

    Raises:
        ValueError: There is no such policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"no policy is called {policy}: choose one of {', '.join(POLICIES)}")
    if policy == "oracle":
        tries = [_run(scenario, partial(_oracle, order=order)) for order in ORDERS]
        return max(tries, key=lambda figures: figures.goodput)
    return _run(scenario, _OF_NAME[policy])


def _run(scenario: Scenario, policy: Callable[[Lab, Path], Scheduler]) -> Figures:
    lab = Lab(scenario)
    with TemporaryDirectory(prefix="gimbal-lab-") as folder:
        scheduler = policy(lab, Path(folder))
        try:
            held_s, clean_s = _play(lab, scheduler)
        finally:
            scheduler.close()
    return _figures(lab, held_s, clean_s)


def _oracle(lab: Lab, folder: Path, order: str) -> Scheduler:
    return oracle(lab, order)


_OF_NAME: dict[str, Callable[[Lab, Path], Scheduler]] = {
    "default": ServiceScheduler,
    "first_fit": lambda lab, folder: first_fit(lab),
    "fifo": lambda lab, folder: fifo(lab),
}


def _play(lab: Lab, scheduler: Scheduler) -> tuple[float, float]:
    """Return the card-seconds that were held back and those that were clean."""
    jobs = list(reversed(lab.scenario.jobs))
    last_s = jobs[0].submitted_s
    held_s = clean_s = 0.0
    while len(lab.finished_s) < len(lab.scenario.jobs) and lab.now_s < _PATIENCE * last_s:
        lab.advance(lab.now_s + STEP_S)
        while jobs and jobs[-1].submitted_s <= lab.now_s:
            scheduler.submit(jobs.pop())
        scheduler.step()
        if lab.now_s <= last_s:
            held_s += STEP_S * scheduler.held_back()
            clean_s += STEP_S * sum(not card.guests for card in lab.cards)
    return held_s, clean_s


def _figures(lab: Lab, held_s: float, clean_s: float) -> Figures:
    jobs = lab.scenario.jobs
    window_s = jobs[-1].submitted_s
    times = {job.name: lab.finished_s.get(job.name, lab.now_s) - job.submitted_s for job in jobs}
    waits = sorted(times[job.name] - job.work_s for job in jobs)
    occupied_s = sum(
        len(attempt.cards) * (min(attempt.ended_s, lab.now_s) - attempt.admitted_s)
        for attempt in lab.attempts
    )
    useful_s = sum(len(a.cards) * min(a.kept_s, a.trained_s(lab.now_s)) for a in lab.attempts)
    in_window = sum(attempt.useful_s(window_s) for attempt in lab.attempts)
    return Figures(
        finished=len(lab.finished_s),
        deaths_after_admission=sum(attempt.is_death for attempt in lab.attempts),
        bounces=sum(a.end is End.BOUNCED and not a.is_death for a in lab.attempts),
        goodput=in_window / lab.scenario.unwanted_s(window_s),
        mean_jct_s=sum(times.values()) / len(times),
        wait_p99_s=waits[min(len(waits) - 1, int(0.99 * len(waits)))],
        wait_max_s=waits[-1],
        false_holds=held_s / clean_s,
        lost_gpu_s=occupied_s - useful_s,
        end_s=lab.now_s,
    )
