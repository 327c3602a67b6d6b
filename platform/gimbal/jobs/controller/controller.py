"""The loop that makes what is stored come true.

One round, a tick, reads everything anew; nothing is remembered from the last one that matters. So
a controller may die on any line, and the next one, or another, goes on from the store.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from gimbal.jobs.controller.admitting import Admission
from gimbal.jobs.controller.ending import Ender
from gimbal.jobs.controller.events import event, trouble
from gimbal.jobs.controller.leadership import Leadership
from gimbal.jobs.controller.needs import Needs
from gimbal.jobs.controller.observing import Observer
from gimbal.jobs.controller.orphans import Orphans
from gimbal.jobs.controller.reconciling import Reconciler
from gimbal.jobs.controller.starting import Starter
from gimbal.jobs.controller.stats import ControllerStats
from gimbal.jobs.controller.stopping import Stopper
from gimbal.jobs.controller.waiting import WaitNotes
from gimbal.jobs.controller.world import Tick, World
from gimbal.jobs.model import LeaseLost, Stale
from gimbal.jobs.ports import Clock, GpuWarden, JobStore, Launcher, LaunchUnavailable
from gimbal.jobs.settings import ControllerSettings
from gimbal.scheduling.model import WaitReason
from gimbal.scheduling.retrying import RetrySettings
from gimbal.scheduling.settings import PolicySettings

_BREATH_S = 0.1
"""Between two rounds at least: jobs that come in together are taken up together."""
_RAY_END_S = 30.0
_RAY_SILENT = "Ray does not answer; nothing is started until it does"


@dataclass(frozen=True, kw_only=True, slots=True)
class TickReport:
    """What a tick did.

    Attributes:
        leading: Whether this controller holds the lease; if not, it did nothing.
        placed: Attempts started.
        ended: Attempts ended.
        waiting: Jobs left in the queue.
        unavailable: What Ray did not answer; empty: all was well.
    """

    leading: bool
    placed: int = 0
    ended: int = 0
    waiting: int = 0
    unavailable: str = ""


class Controller:
    """Decides about jobs and carries them out, while it holds the store's lease.

    Args:
        store: The truth about jobs.
        launcher: Hands attempts to Ray.
        warden: The cluster's GPUs.
        clock: The time.
        runs_dir: Folder of all runs; attempts' folders are inside.
        settings: Its patience and limits; None: the defaults, here and below.
        policy: Who gets which cards.
        retry: Which failures are tried again, how often and when.
        tolerated_bytes: Memory of others with which the warden takes a card for free, for workers
            to agree with it; None: they go by the defaults.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        launcher: Launcher,
        warden: GpuWarden,
        clock: Clock,
        runs_dir: Path,
        settings: ControllerSettings | None = None,
        policy: PolicySettings | None = None,
        retry: RetrySettings | None = None,
        tolerated_bytes: int | None = None,
    ) -> None:
        self.stats = ControllerStats()
        settings = settings or ControllerSettings()
        self._leadership = Leadership(store, clock, settings.lease_s)
        self._world = World(
            store=store,
            launcher=launcher,
            warden=warden,
            clock=clock,
            settings=settings,
            policy=policy or PolicySettings(),
            retry=retry or RetrySettings(),
            runs_dir=runs_dir,
            stats=self.stats,
            leadership=self._leadership,
            tolerated_bytes=tolerated_bytes,
        )
        observer = Observer(self._world)
        self._needs = Needs(self._world)
        ender = Ender(self._world, observer, self._needs)
        starter = Starter(self._world, ender)
        stopper = Stopper(self._world)
        self._notes = WaitNotes(self._world)
        self._reconciler = Reconciler(self._world, observer, starter, stopper, ender)
        self._admission = Admission(self._world, self._needs, starter, stopper, self._notes)
        self._orphans = Orphans(self._world)
        self._silent = False
        self._woken = threading.Event()

    def tick(self) -> TickReport:
        """Do one round; does nothing while another controller leads.

        Raises:
            Exception: The store does not answer; nothing is half done that the next tick would
                not finish.
        """
        try:
            led = self.stats.leading
            self.stats.leading = self._leadership.acquire()
            if not self.stats.leading:
                return TickReport(leading=False)
            if not led:
                self._needs.forget()
            return self._lead()
        except LeaseLost:
            self._leadership.lost()
            self.stats.leading = False
            return TickReport(leading=False)

    def wake(self) -> None:
        """Do the next round soon: a job came in, or is to end."""
        self._woken.set()

    def run(self, stop: threading.Event, ended: threading.Event | None = None) -> None:
        """Do rounds until `stop` is set, then give the lease back; `wake` after setting it.

        Args:
            stop: Set for the end.
            ended: The lease is kept until this is set too (for some seconds): while a Ray is being
                ended, nobody else may start its jobs anew. None: it is given back at once.
        """
        settings = self._world.settings
        pause_s = settings.tick_s
        while not stop.is_set():
            troubled = True
            try:
                troubled = bool(self.tick().unavailable)
            except Exception as error:  # the thread's border: a database that restarts comes back
                trouble("tick_failed", error)
            pause_s = min(pause_s * 2, settings.unavailable_tick_max_s) if troubled else 0.0
            pause_s = max(pause_s, settings.tick_s)
            # Jobs that come in do not make a Ray that is down answer sooner.
            breath_s = pause_s if troubled else min(pause_s, _BREATH_S)
            if not stop.wait(breath_s):
                self._woken.wait(pause_s - breath_s)
                self._woken.clear()
        if ended is not None:
            ended.wait(_RAY_END_S)
        try:
            self._leadership.give_back()
        except Exception as error:  # the process's end: the lease runs out by itself
            trouble("lease_not_dropped", error)

    def _lead(self) -> TickReport:
        jobs = {job.id: job for job in self._world.store.active()}
        tick = Tick(jobs=jobs, reports={}, gpus=())
        self._notes.begin(tick)
        try:
            self._world.push_claims()
            tick.reports = self._world.launcher.reports()
            tick.gpus = self._world.warden.snapshot()
            self._reconciler.reconcile(tick)
            self._orphans.clear(tick)
        except LaunchUnavailable as error:
            tick.unanswered.append(str(error))
            self._silence(tick)
            return self._report(tick)
        if tick.patient:
            self._admission.admit(tick)
        self._silent = False
        return self._report(tick)

    def _silence(self, tick: Tick) -> None:
        """Say once, and to every waiting job, that Ray does not answer."""
        if not self._silent:
            event("ray_unavailable", level=logging.WARNING, words=tick.unanswered[0])
        self._silent = True
        try:
            self._notes.everybody(tick, WaitReason.GPU_UNUSABLE.value, _RAY_SILENT)
        except Stale:
            event("job_changed_meanwhile")

    def _report(self, tick: Tick) -> TickReport:
        if tick.unanswered:
            self.stats.unavailable += 1
        return TickReport(
            leading=True,
            placed=tick.placed,
            ended=tick.ended,
            waiting=tick.waiting,
            unavailable=tick.unanswered[0] if tick.unanswered else "",
        )
