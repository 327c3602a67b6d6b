"""What a run knows of the job service's attempt it is: its cards, and whether it must leave.

A run that nobody submitted is no attempt, and everything here then says so.
"""

from __future__ import annotations

from pathlib import Path

from gimbal.experiment.attempt import AttemptFolder, GrantFile, Preempted, RunFile, StopFile
from gimbal.experiment.settings import Resources
from gimbal.training.reservation import Reservation, gone

NAMESPACE = "gimbal"
"""Ray namespace of everything the service makes by name."""
_REASONS = {
    "preempt": "asked to make room for another job",
    "cancel": "cancelled",
    "early": "stopped early by its sweep",
    "budget": "its sweep's time is used up",
}


def require_not_asked_to_leave(attempt: AttemptFolder | None) -> None:
    """End the run where nothing is lost by it, if the service asked for that.

    Raises:
        Preempted: It did.
    """
    if attempt is None or not attempt.stop_path.exists():
        return
    stop = attempt.read("stop", StopFile)
    why = _REASONS[stop.why] if stop else "asked to leave"
    raise Preempted(
        f"{why}{f': {stop.words}' if stop and stop.words else ''}", "run again to go on from here"
    )


def earlier_run(attempt: AttemptFolder | None) -> Path | None:
    """Return the run an earlier attempt of the same job worked on; a job keeps one run folder."""
    if attempt is None or not attempt.path.name.isdigit():
        return None
    for number in range(int(attempt.path.name) - 1, 0, -1):
        record = AttemptFolder(attempt.path.parent / str(number)).read("run", RunFile)
        if record is not None:
            return Path(record.run_dir)
    return None


def resources_of(resources: Resources, attempt: AttemptFolder | None) -> Resources:
    """Return a run's resources; an attempt survives no lost worker, for the service decides that.

    It knows why the worker was lost, and whether these cards are still fit to go on with. A trial
    of a sweep is an attempt without a grant: nobody but the run itself looks after its workers.
    """
    return (
        resources.model_copy(update={"max_worker_failures": 0})
        if looked_after(attempt)
        else resources
    )


def looked_after(attempt: AttemptFolder | None) -> bool:
    """Return whether a service decides what happens when a worker of this run is lost."""
    return attempt is not None and attempt.grant() is not None


def reservation_of(attempt: AttemptFolder | None) -> Reservation | None:
    """Return the cards an attempt must work on; None: any that Ray has.

    Ray must be connected, in the service's namespace.

    Raises:
        GpuContended: They are gone.
    """
    grant: GrantFile | None = attempt.grant() if attempt else None
    if grant is None or grant.reservation is None or not grant.gpus:
        return None
    from ray.util import get_placement_group

    try:
        group = get_placement_group(grant.reservation)
    except ValueError as error:
        raise gone(grant.reservation, "not to be found by its name") from error
    return Reservation(
        name=grant.reservation,
        group=group,
        share=min(gpu.share for gpu in grant.gpus),
        bundles=len(grant.gpus),
    )
