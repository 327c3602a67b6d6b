"""Brings one run's outbox into a store, in order, and remembers how far it came.

Delivery is at least once: the offset is written after the store took a record, so a crash in
between repeats it. Repeating is harmless, because runs are found by key, tags and params keep their
value, and a metric point has the time it was made in it, so SQL stores recognise it. The one
exception: a training file rewritten in that very moment repeats its last points with new times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from gimbal.tracking import flattening, membership, outbox
from gimbal.tracking.file_watching import FileWatcher
from gimbal.tracking.following import FollowState, Point
from gimbal.tracking.outbox import Entry
from gimbal.tracking.records import (
    PARENT,
    AnyRecord,
    Finish,
    FollowMetrics,
    LogArtifact,
    LogMetrics,
    OpenRun,
    OpenStage,
    RunStatus,
    SetTags,
    WatchCheckpoints,
)
from gimbal.tracking.state import (
    CheckpointState,
    DeliveryState,
    Identity,
    RunState,
    load_state,
    save_state,
)
from gimbal.tracking.store import Store, StoreLost, StoreRefused, StoreUnavailable

_ENTRIES_PER_STEP = 2000
_ATTEMPTS_OF_A_RECORD = 5
"""After so many failures while the store answers otherwise, the record itself is at fault."""

Say = Callable[[str], None]


class Delivery:
    """Delivers one run.

    Args:
        run_dir: The run folder.
        identity: Who the run is; see `state.identify`.
        store: Where to.
        say: Called with a sentence for the user.
    """

    def __init__(self, run_dir: Path, identity: Identity, store: Store, say: Say) -> None:
        self._run_dir = run_dir
        self._identity = identity
        self._store = store
        self._say = say
        self._state = load_state(run_dir, identity)
        self._watcher = FileWatcher(store, self._save, say)
        self._failures = 0
        self.started_over = False

    @property
    def at_rest(self) -> bool:
        """Whether the run has ended and MLflow has all of it; costs one look at a file's size."""
        parent = self._state.runs.get(PARENT)
        if parent is None or parent.status == "running":
            return False
        try:
            size = outbox.outbox_file(self._run_dir).stat().st_size
        except OSError:
            return False
        return size == self._state.offset

    def step(self) -> bool:
        """Deliver some more; return False when nothing was waiting.

        Raises:
            StoreUnavailable: The store failed; what it took before is remembered.
        """
        path = outbox.outbox_file(self._run_dir)
        entries = list(islice(read_from(path, self._state.offset), _ENTRIES_PER_STEP))
        try:
            for group in _grouped(entries):
                self._deliver(group)
                self._failures = 0
            return self._watcher.poll(self._state.runs) or bool(entries)
        except StoreLost as exc:
            if self.started_over:  # it was done once and did not help
                raise StoreUnavailable(str(exc)) from exc
            self._say(
                f"MLflow does not know this run any more ({exc}); it is told everything again"
            )
            self.start_over()
            return True

    def _deliver(self, group: Sequence[Entry]) -> None:
        record = group[0].record
        try:
            if isinstance(record, LogMetrics):
                self._store.log_metrics(self._run_id(record.run), list(_points(group)))
            elif record is not None:
                self._apply(record)
        except StoreRefused as exc:
            self._say(f"MLflow refused {_words(record)}, which is left out: {exc}")
        except StoreUnavailable as exc:
            self._failures += 1
            if self._failures < _ATTEMPTS_OF_A_RECORD or not self._store.answers():
                raise
            self._say(f"MLflow cannot take {_words(record)}, which is left out: {exc}")
        self._state.offset = group[-1].end
        self._save()

    def _apply(self, record: AnyRecord) -> None:
        if isinstance(record, OpenRun):
            self._open_parent(record)
        elif isinstance(record, OpenStage):
            self._open_stage(record)
        elif isinstance(record, SetTags):
            self._store.set_tags(self._run_id(record.run), record.values)
        elif isinstance(record, LogArtifact):
            self._store.log_artifact(self._run_id(record.run), Path(record.path), record.name)
        elif isinstance(record, FollowMetrics):
            self._follow(record)
        elif isinstance(record, WatchCheckpoints):
            self._watch_checkpoints(record)
        elif isinstance(record, Finish):
            self._finish(record)

    def _open_parent(self, record: OpenRun) -> None:
        state = self._state
        if not state.experiment_id:
            state.experiment_id = self._store.ensure_experiment(record.experiment)
        sweep = membership.sweep_of(self._run_dir, self._identity)
        above = membership.ensure_sweep_run(sweep, self._store) if sweep else None
        tags = {**record.tags, "mlflow.parentRunId": above} if above else record.tags
        self._open(record, self._identity.key, record.name, tags)
        self._store.log_params(self._run_id(PARENT), record.params)

    def _open_stage(self, record: OpenStage) -> None:
        parent = self._run_id(PARENT)
        key = f"{self._identity.key}/{record.run}"
        tags = {"mlflow.parentRunId": parent, "gimbal.stage": record.run, **record.tags}
        self._open(record, key, record.name or record.run, tags)
        self._store.log_params(self._run_id(record.run), record.params)

    def _open(self, record: OpenRun | OpenStage, key: str, name: str, tags: dict[str, str]) -> None:
        known = self._state.runs.get(record.run)
        if known is None:
            run_id = self._store.ensure_run(
                self._state.experiment_id, key=key, name=name, start_ms=record.at_ms, tags=tags
            )
            self._state.runs[record.run] = RunState(run_id=run_id)
            self._save()
        else:
            run_id = known.run_id
            known.status = "running"
            self._store.set_tags(run_id, tags)
        self._store.reopen(run_id)

    def _follow(self, record: FollowMetrics) -> None:
        follows = self._run(record.run).follows
        if record.run == PARENT and follows and record.path not in follows:
            return  # two files in one run would draw one zigzag
        follows.setdefault(record.path, FollowState(base_ms=record.at_ms)).active = True

    def _watch_checkpoints(self, record: WatchCheckpoints) -> None:
        run = self._run(record.run)
        if run.checkpoints is None or run.checkpoints.path != record.path:
            run.checkpoints = CheckpointState(path=record.path)
        run.checkpoints.active = True

    def _finish(self, record: Finish) -> None:
        if record.run == PARENT:
            for name in [n for n, run in self._state.runs.items() if n and run.status == "running"]:
                self._close_run(name, record.status, record.at_ms)
        self._close_run(record.run, record.status, record.at_ms)

    def _close_run(self, name: str, status: RunStatus, at_ms: int) -> None:
        run = self._run(name)
        self._watcher.finish(run)
        if status == "reused":
            self._store.set_tags(run.run_id, {"gimbal.reused": "true"})
        self._store.finish(run.run_id, status, at_ms)
        run.status = status

    def _run(self, name: str) -> RunState:
        try:
            return self._state.runs[name]
        except KeyError:
            raise StoreRefused("the run it belongs to could not be opened") from None

    def _run_id(self, name: str) -> str:
        return self._run(name).run_id

    def start_over(self) -> None:
        """Deliver everything again: the store that had it was replaced."""
        self.started_over = True
        self._state = DeliveryState()
        self._save()

    def _save(self) -> None:
        save_state(self._run_dir, self._identity, self._state)


def read_from(path: Path, offset: int) -> Iterator[Entry]:
    """Yield an outbox's entries; a file cut short is read from its beginning."""
    if path.exists() and path.stat().st_size < offset:
        offset = 0
    return outbox.read_entries(path, offset)


def _grouped(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield entries one by one, except that consecutive metrics of one run go together."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        record = entry.record
        if group and not (isinstance(record, LogMetrics) and _joins(group[0], record, size)):
            yield group
            group, size = [], 0
        group.append(entry)
        size += len(record.values) if isinstance(record, LogMetrics) else 0
    if group:
        yield group


def _joins(first: Entry, record: LogMetrics, size: int) -> bool:
    head = first.record
    return (
        isinstance(head, LogMetrics)
        and head.run == record.run
        and size + len(record.values) <= flattening.MAX_METRICS_PER_CALL
    )


def _points(group: Sequence[Entry]) -> Iterator[Point]:
    for entry in group:
        if isinstance(entry.record, LogMetrics):
            for name, value in entry.record.values.items():
                yield Point(name, value, entry.record.at_ms, entry.record.step)


def _words(record: AnyRecord | None) -> str:
    if record is None:
        return "a damaged line"
    what = f"the artifact {record.name}" if isinstance(record, LogArtifact) else record.op
    return f"{what} of stage '{record.run}'" if record.run else what
