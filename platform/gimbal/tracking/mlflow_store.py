"""MLflow itself. Imported only by the courier process: `import mlflow` takes a second or two."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from gimbal.tracking import flattening, uris
from gimbal.tracking.following import Point
from gimbal.tracking.records import RunStatus
from gimbal.tracking.store import StoreLost, StoreRefused, StoreUnavailable

KEY_TAG = "gimbal.key"
_LOCK_TIMEOUT_S = 120.0
_STATUSES: dict[RunStatus, str] = {
    "finished": "FINISHED",
    "reused": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}
_NEVER = frozenset({"INVALID_PARAMETER_VALUE", "FEATURE_DISABLED", "MALFORMED_REQUEST"})


class MlflowStore:
    """A store reached through MLflow's client.

    Args:
        uri: Database or server. A new SQLite database is set up, by one process at a time.

    Raises:
        StoreUnavailable: It does not answer.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._new: set[str] = set()
        """Runs made here and just now: nothing has to be asked about them."""
        with _translated():
            if (database := uris.database_file(uri)) is not None:
                _ensure_database(database)
            self._client = _client(uri)

    def ensure_experiment(self, name: str) -> str:
        """See `Store`. An experiment deleted on the page is restored."""
        with _translated():
            found = self._client.get_experiment_by_name(name)
            if found is None:
                return self._create_experiment(name)
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    def ensure_run(
        self,
        experiment_id: str,
        *,
        key: str,
        name: str,
        start_ms: int,
        tags: Mapping[str, str],
    ) -> str:
        """See `Store`."""
        with _translated():
            found = self._client.search_runs(
                [experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1
            )
            if found:
                return str(found[0].info.run_id)
            run = self._client.create_run(
                experiment_id, start_time=start_ms, tags={KEY_TAG: key, **tags}, run_name=name
            )
            self._new.add(str(run.info.run_id))
            return str(run.info.run_id)

    def reopen(self, run_id: str) -> None:
        """See `Store`. A new run is open."""
        if run_id in self._new:
            return
        with _translated():
            self._client.update_run(run_id, status="RUNNING")

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """See `Store`. What a continued run would change is put into the tag `gimbal.changed`."""
        with _translated():
            ask = params and run_id not in self._new
            known = self._client.get_run(run_id).data.params if ask else {}
            new = [Param(name, value) for name, value in params.items() if name not in known]
            for part in flattening.chunks(new, flattening.MAX_PARAMS_PER_CALL):
                self._client.log_batch(run_id, params=part)
            self._new.discard(run_id)
            changed = [f"{n}={v}" for n, v in params.items() if known.get(n, v) != v]
            if changed:
                text = flattening.cut("; ".join(changed), flattening.MAX_TAG_VALUE)
                self._client.set_tag(run_id, "gimbal.changed", text)

    def log_metrics(self, run_id: str, points: Sequence[Point]) -> None:
        """See `Store`."""
        metrics = [Metric(p.name, p.value, p.at_ms, p.step) for p in points]
        with _translated():
            for part in flattening.chunks(metrics, flattening.MAX_METRICS_PER_CALL):
                self._client.log_batch(run_id, metrics=part)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """See `Store`."""
        items = [RunTag(name, value) for name, value in tags.items()]
        with _translated():
            for part in flattening.chunks(items, flattening.MAX_TAGS_PER_CALL):
                self._client.log_batch(run_id, tags=part)

    def drop_tags(self, run_id: str, names: Sequence[str]) -> None:
        """See `Store`."""
        with _translated():
            present = self._client.get_run(run_id).data.tags if names else {}
            for name in names:
                if name in present:
                    self._client.delete_tag(run_id, name)

    def log_artifact(self, run_id: str, path: Path, name: str) -> None:
        """See `Store`."""
        folder, _, last = name.rpartition("/")
        with _translated():
            if path.is_dir():
                self._client.log_artifacts(run_id, str(path), name)
            elif path.is_file():
                with _named(path, last) as named:
                    self._client.log_artifact(run_id, str(named), folder or None)
            else:
                raise StoreRefused(f"{path} is no longer there")

    def finish(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """See `Store`."""
        with _translated():
            self._client.set_terminated(run_id, _STATUSES[status], end_ms)

    def answers(self) -> bool:
        """See `Store`."""
        try:
            with _translated():
                self._client.search_experiments(max_results=1)
        except (StoreUnavailable, StoreRefused, StoreLost):
            return False
        return True

    def _create_experiment(self, name: str) -> str:
        artifacts = uris.artifact_folder(self._uri)
        location = f"{artifacts.as_uri()}/{name}" if artifacts else None
        try:
            return str(self._client.create_experiment(name, artifact_location=location))
        except MlflowException:
            # Another run of the same experiment made it in between.
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)


def _client(uri: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _ensure_database(database: Path) -> None:
    """Make a SQLite database whole or not at all, by one process at a time.

    MLflow builds its tables in many small commits, and a database whose building was killed in
    between stays broken for good. So it is built under another name.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_name(f".{database.name}.lock"), timeout=_LOCK_TIMEOUT_S):
        if database.exists():
            return
        for abandoned in database.parent.glob(f".{database.name}.new-*"):
            abandoned.unlink()
        new = database.with_name(f".{database.name}.new-{os.getpid()}")
        _client(f"sqlite:///{new}")
        try:
            # Unlike a rename it fails when `mlflow server` made the database in between.
            database.hardlink_to(new)
        except FileExistsError:
            pass
        except OSError:
            new.rename(database)
            return
        new.unlink()


@contextmanager
def _named(path: Path, name: str) -> Iterator[Path]:
    """Give the file under another name: MLflow takes an artifact's name from the file's."""
    if path.name == name:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / name
        link.symlink_to(path.absolute())
        yield link


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, StoreRefused, StoreLost):
        raise
    except MlflowException as exc:
        raise _classified(exc) from exc
    except Exception as exc:  # the border to MLflow: whatever breaks in there is an outage to us
        raise StoreUnavailable(_first_line(exc)) from exc


def _classified(exc: MlflowException) -> Exception:
    code: Any = exc.error_code
    if code == "RESOURCE_DOES_NOT_EXIST":
        return StoreLost(_first_line(exc))
    if code in _NEVER:
        return StoreRefused(_first_line(exc))
    return StoreUnavailable(_first_line(exc))


def _first_line(exc: BaseException) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(exc).__name__
