"""How the controller goes about its work; every default says why it is what it is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings

Seconds = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class ControllerSettings(Settings):
    """Times, patience and limits of one controller."""

    tick_s: Positive = 1.0
    """A user notices a second; one tick asks Ray twice and reads one table."""
    lease_s: Annotated[float, Field(ge=3)] = 15.0
    """A dead controller is replaced within this; many ticks long, so that one slow answer of Ray
    does not cost a living one its lease."""
    unavailable_tick_max_s: Positive = 10.0
    """Ray that is down is asked less and less often, at least this often: it is back at once."""
    start_budget_s: Positive = 5.0
    """Starting jobs stops for this tick after so long: cancels and the lease come every tick, and
    a third of the lease is far from losing it."""

    preempt_deadline_s: Seconds = 120.0
    """Time to reach the next step and write a checkpoint; large models on slow disks need it."""
    cancel_grace_s: Seconds = 10.0
    """A user who cancels waits for it; a step and a small checkpoint fit."""
    stop_again_s: Positive = 30.0
    """Ray is asked to stop an attempt again after this: longer than it takes from SIGTERM to
    SIGKILL, so that nothing is cut short by asking."""

    absent_after_s: Seconds = 5.0
    """A running attempt that Ray does not know is lost only after this: a head that is starting
    answers before it has read its tables."""
    absent_answers: Annotated[int, Field(ge=1)] = 3
    """… and after so many answers, so that a pause of ours is not taken for Ray's."""
    settle_s: Seconds = 5.0
    """A job whose driver vanished starts again no sooner: Ray's own watchdog needs a second or two
    to end the driver of a supervisor that died."""

    contended_avoid_s: Seconds = 300.0
    """A card blamed for a failure is avoided by that job this long; longer than any cool-down, so
    that one which looks clean between two of a neighbour's runs is not tried at once."""
    reserve_avoid_s: Seconds = 30.0
    """A card that could not be reserved may be held in Ray without using memory, which no sample
    shows; short, because the next try is cheap."""

    observe_s: Positive = 5.0
    """How often a running attempt's files are read: they may be on a network file system, and
    nothing in them is urgent."""
    peak_margin: Annotated[float, Field(ge=1)] = 1.05
    """Asked for above a measured peak: fragmentation and workspaces vary by a few percent."""
    usage_refresh_s: Positive = 10.0
    """How often past use is added up for fair share: it fades over a day, and what is held now
    counts without it."""
    never_fits_after_s: Seconds = 300.0
    """A job that no card could ever satisfy fails only after this: nodes of a cluster that is
    starting, or whose head was restarted, join one after the other."""

    wait_note_s: Seconds = 5.0
    """A changed sentence on why a job waits is written at most this often: countdowns change every
    tick. A changed reason is written at once."""
    wait_notes_per_tick: Annotated[int, Field(ge=1)] = 100
    """Writes a tick may spend on that with thousands of waiting jobs; the rest follow."""
    ray_jobs_kept: Annotated[int, Field(ge=0)] = 50
    """Ended attempts Ray may keep in its list, which has no pages and is read every tick."""
