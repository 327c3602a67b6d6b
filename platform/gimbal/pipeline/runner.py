"""Runs an experiment: its stages in order, each once, in a run folder that remembers everything.

A run that was killed is continued by running the same config again: its folder is taken over, its
finished stages are skipped and the unfinished one goes on from what it has on disk.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gimbal.experiment.attempt import AttemptFolder, GpuContended, Preempted, RunFile
from gimbal.experiment.content import ContentHashes
from gimbal.experiment.fingerprint import stage_code, stage_fingerprint
from gimbal.experiment.plain import to_plain
from gimbal.experiment.run_finding import resumable
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import StageState, StageStatus
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.stage import Stage, StageOutput, TaskStage
from gimbal.experiment.stage_holder import Holder
from gimbal.experiment.stage_store import StageKey, StageStore, StoredStage
from gimbal.experiment.workload import Workload
from gimbal.pipeline import ray_session
from gimbal.pipeline.attempts import earlier_run, require_not_asked_to_leave
from gimbal.pipeline.code import identify_code
from gimbal.pipeline.events import Observer, SilentObserver
from gimbal.pipeline.execution import Execution, damaged_blocks, skipped_items
from gimbal.pipeline.plan import Plan, make_plan
from gimbal.pipeline.recording import recorded, runs_folder, tracked
from gimbal.pipeline.remembering import RunFacts, RunMemory
from gimbal.pipeline.stage_ends import check_gates, keep_report, run_always, why_it_runs

HASHES = "hashes.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a run is asked for.

    Attributes:
        only: Run this stage and what it needs.
        force: Stages to run anew.
        command: The command line, for the provenance.
        given: Finished outputs of other runs that stages may read.
        drift: How what is here differs from what those were made with, see `pipeline.drift`.
    """

    only: str | None = None
    force: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    given: Mapping[str, StageOutput] = field(default_factory=dict)
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What a run gave."""

    run_dir: str
    stages: dict[str, dict[str, Any]]
    metrics: dict[str, Any]


def run_experiment(
    workload: Workload[Any],
    settings: ExperimentSettings,
    options: RunOptions | None = None,
    observer: Observer | None = None,
) -> RunResult:
    """Run an experiment, or continue the interrupted run of the same config.

    Args:
        workload: Gives the stages.
        settings: The checked config.
        options: What to run and what to run anew.
        observer: Told what happens.

    Raises:
        GimbalError: A stage failed, missed a gate, or a file could not be written. Everything
            finished before is kept.
        KeyboardInterrupt: The user stopped it; the run is recorded as interrupted.
    """
    options = options or RunOptions()
    plan = make_plan(
        workload.stages(settings),
        given=tuple(options.given),
        only=options.only,
        force=options.force,
    )
    observer = observer or SilentObserver()
    run = _Run(workload, settings, plan, options, observer)
    for words in workload.notices(settings):
        observer.notice(words)
    return run.go()


class _Run:
    """One attempt at a run: the folder, the tracker and what is finished so far."""

    def __init__(
        self,
        workload: Workload[Any],
        settings: ExperimentSettings,
        plan: Plan,
        options: RunOptions,
        observer: Observer,
    ) -> None:
        self.workload = workload.name
        self.workload_class = f"{type(workload).__module__}:{type(workload).__qualname__}"
        self.settings = settings
        self.plan = plan
        self.options = options
        self.observer = observer
        self.runs_dir = runs_folder(settings)
        self.store = StageStore(self.runs_dir)
        # Now, before anything takes time: whoever edits a source later does not change this run.
        self.sources = {stage.name: stage_code(stage) for stage in plan.stages}
        self.code = identify_code(plan.stages)
        self.hashes = ContentHashes(self.store.root / HASHES)
        self.outputs: dict[str, StageOutput] = dict(options.given)
        self.attempt = AttemptFolder.current()

    def go(self) -> RunResult:
        """Run every stage of the plan."""
        resumed = resumable(self.runs_dir, self.settings, earlier_run(self.attempt))
        self.folder = resumed or RunFolder.create(
            self.runs_dir, self.settings, list(self.options.command)
        )
        if self.attempt is not None:
            self.attempt.write("run", RunFile(run_dir=str(self.folder.path)))
        names = tuple(stage.name for stage in self.plan.stages)
        connected_before = ray_session.connected()
        self.observer.run_started(str(self.folder.path), names, resumed is not None)
        with (
            recorded(self.folder),
            self.folder.alive(),
            tracked(self.folder, self.settings, self.runs_dir, self.observer) as self.tracker,
            RunMemory(self.folder, self._facts()).attempt(self.outputs) as memory,
        ):
            drift = "; ".join(self.options.drift) or None
            self.tracker.tags({"gimbal.commit": memory.commit, "gimbal.drift": drift})
            for warning in memory.warnings:
                self.observer.notice(warning)
            try:
                for stage in self.plan.stages:
                    require_not_asked_to_leave(self.attempt)
                    self._run_stage(stage)
            finally:
                if not connected_before:
                    ray_session.disconnect()
                self.hashes.save()
        return self._result()

    def _facts(self) -> RunFacts:
        return RunFacts(
            command=self.options.command,
            code=self.code,
            workload=self.workload_class,
            stages=self.plan.stages,
            workers=self.settings.resources.workers,
            drift=self.options.drift,
            hashes=self.hashes,
        )

    def _run_stage(self, stage: Stage) -> None:
        if isinstance(stage, TaskStage) and stage.always:
            self._run_always(stage)
            return
        inputs = {name: self.outputs[name].fingerprint for name in stage.inputs}
        fingerprint = stage_fingerprint(stage, inputs, self.hashes, self.sources[stage.name])
        key = StageKey(self.workload, stage.name, fingerprint)
        stored = self._usable(stage, key)
        reused = stored is not None
        if stored is None:
            with self.store.lock(
                key,
                run=str(self.folder.path),
                on_wait=lambda holder, _: self._waiting(stage.name, holder),
            ):
                stored = self._usable(stage, key)
                reused = stored is not None
                stored = stored or self._build(stage, key)
        self._accept(stage, stored, reused=reused)

    def _usable(self, stage: Stage, key: StageKey) -> StoredStage | None:
        if stage.name in self.plan.forced:
            return None
        stored = self.store.finished(key)
        if stored is None:
            return None
        damaged = damaged_blocks(stage, stored.path)
        if damaged:
            self.observer.notice(f"{damaged[0]}; it is rebuilt")
            return None
        return stored

    def _build(self, stage: Stage, key: StageKey) -> StoredStage:
        forced = stage.name in self.plan.forced
        stored = self.store.finished(key)
        folder = stored.path if stored and not forced else self.store.begin(key, force=forced)
        self.folder.set_stage(
            stage.name, StageState(status=StageStatus.RUNNING, fingerprint=key.fingerprint.digest)
        )
        self.folder.link_stage(stage.name, folder)
        self.observer.stage_started(stage.name, self._why(stage, key, forced))
        began = time.monotonic()
        execution = Execution(
            settings=self.settings,
            code=self.code,
            fingerprint=key.fingerprint.digest,
            progress=lambda done, total, words: self.observer.stage_progress(
                stage.name, done, total, words
            ),
            notice=self.observer.notice,
        )
        inputs = {name: self.outputs[name] for name in stage.inputs}
        child = self.tracker.stage(stage.name, params=to_plain(stage.settings))
        execution.follow(stage, folder, child)
        try:
            metrics = execution.run(stage, inputs, folder)
        except (Preempted, GpuContended):
            child.finish("killed")
            raise
        except BaseException:
            child.finish("failed")
            raise
        seconds = time.monotonic() - began
        self.observer.stage_finished(stage.name, seconds)
        return self.store.commit(
            key,
            folder,
            metrics=metrics,
            seconds=seconds,
            gates=[asdict(gate.check(metrics)) for gate in stage.gates],
            provenance=str(self.folder.path),
        )

    def _why(self, stage: Stage, key: StageKey, forced: bool) -> str:
        return "forced" if forced else why_it_runs(self.store, key, self.folder)

    def _accept(self, stage: Stage, stored: StoredStage, *, reused: bool) -> None:
        record = stored.record
        self.folder.link_stage(stage.name, stored.path)
        self.outputs[stage.name] = StageOutput(
            name=stage.name,
            path=stored.path,
            fingerprint=stored.identity,
            metrics=record.metrics,
        )
        if reused:
            running = StageState(status=StageStatus.RUNNING, fingerprint=stored.identity)
            self.folder.set_stage(stage.name, running)  # until it is accepted
        skipped = skipped_items(stage, stored.path)
        if reused:
            self.observer.stage_skipped(stage.name, f"finished before, {record.fingerprint[:8]}")
        if skipped:
            self.observer.notice(skipped)
        self.folder.set_stage(
            stage.name,
            StageState(
                status=StageStatus.SKIPPED if reused else StageStatus.FINISHED,
                fingerprint=stored.identity,
                seconds=record.seconds,
                metrics=record.metrics,
            ),
        )
        check_gates(stage, stored, self.tracker, self.observer, reused=reused)

    def _run_always(self, stage: TaskStage) -> None:
        folder = self.folder.stages / stage.name
        inputs = {name: self.outputs[name] for name in stage.inputs}
        metrics, seconds, failed = run_always(stage, inputs, folder, self.tracker, self.observer)
        self.outputs[stage.name] = StageOutput(
            name=stage.name, path=folder, fingerprint="", metrics=metrics
        )
        self.folder.set_stage(
            stage.name,
            StageState(status=StageStatus.FINISHED, seconds=seconds, metrics=metrics),
        )
        keep_report(folder, self.folder)
        if failed:
            raise failed

    def _waiting(self, name: str, holder: Holder | None) -> None:
        self.observer.stage_waiting(name, holder.run if holder else "another process")

    def _result(self) -> RunResult:
        stages = {
            name: {
                "status": str(state.status),
                "seconds": state.seconds,
                "fingerprint": state.fingerprint,
                "path": str(self.outputs[name].path),
            }
            for name, state in self.folder.state().stages.items()
            if name in self.outputs
        }
        metrics = {stage.name: dict(self.outputs[stage.name].metrics) for stage in self.plan.stages}
        return RunResult(run_dir=str(self.folder.path), stages=stages, metrics=metrics)
