"""Check the files a stored run consists of: results, rows, checkpoints, ledgers, records.

Every byte is hashed. A damaged file does not say that the run would come out otherwise, only that
the record it would be compared with is not whole: so what is found here leaves the question open.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gimbal.errors import GimbalError
from gimbal.experiment.files import read_json
from gimbal.experiment.stage_files import altered_files
from gimbal.reproduction.findings import Finding, decides, open_question
from gimbal.reproduction.stored_run import StoredRun, StoredStage

MANIFEST = "manifest.json"
TRAINED = "training.json"
"""Every training stage of the platform writes it; a workload's own checkpoints have no ledger."""


def check_own_files(run: StoredRun, stage: StoredStage) -> list[Finding]:
    """Return what is wrong with the files of one stage of a run."""
    if not stage.path.is_dir() or not stage.kept:
        return []
    found = [*_results(stage), *_rows(run, stage)]
    if (stage.path / "checkpoints").is_dir():
        found += [open_question(words, stage.name) for words in _checkpoints(stage.path)]
    if (stage.path / TRAINED).exists():
        found += [open_question(words, stage.name) for words in _ledger(stage.path)]
    return found


def _results(stage: StoredStage) -> Iterator[Finding]:
    for words in altered_files(stage.path, stage.record.files if stage.record else {}):
        yield open_question(words, stage.name)


def _rows(run: StoredRun, stage: StoredStage) -> Iterator[Finding]:
    recorded = rows_recorded(run, stage.name)
    if not (stage.path / MANIFEST).exists():
        if recorded is not None:
            yield open_question(f"{stage.path / MANIFEST} is gone", stage.name)
        return
    from gimbal.data.records import data_fingerprint
    from gimbal.data.verifying import verify

    try:
        now = data_fingerprint(stage.path)
        bad = verify(stage.path, deep=True)
    except GimbalError as error:
        yield open_question(error.message, stage.name)
        return
    if recorded is not None and recorded != now:
        yield decides(f"its rows are {now[:12]}, the run used {recorded[:12]}", stage.name)
    for block in bad:
        yield open_question(f"{stage.path / block.file}: {block.reason}", stage.name)


def rows_recorded(run: StoredRun, stage: str) -> str | None:
    """Return the fingerprint of the rows a run used; None for stages that make no rows."""
    data = (run.provenance or {}).get("data")
    value = data.get(f"{stage} rows") if isinstance(data, dict) else None
    return value if isinstance(value, str) else None


def _checkpoints(stage_dir: Path) -> Iterator[str]:
    from gimbal.training import checkpoints

    for checkpoint in checkpoints.listed(stage_dir):
        problem = checkpoints.damage(checkpoint)
        if problem is not None:
            yield problem
    yield from _index(stage_dir / "checkpoints")


def _ledger(stage_dir: Path) -> Iterator[str]:
    from gimbal.training import ledger

    try:
        yield from ledger.check(stage_dir)
    except GimbalError as error:
        yield error.message


def _index(folder: Path) -> Iterator[str]:
    """Compare the index with what it lists: a checkpoint of another training is no checkpoint."""
    path = folder / "index.json"
    try:
        entries = {
            str(entry["path"]): str(entry["sha256"]) for entry in read_json(path)["checkpoints"]
        }
    except GimbalError as error:
        yield error.message
        return
    except (KeyError, TypeError):
        yield f"{path} is damaged: it lists no checkpoints"
        return
    for name, sha256 in entries.items():
        card = folder / name / "checkpoint.json"
        try:
            known = read_json(card)["sha256"]
        except (GimbalError, KeyError, TypeError):
            yield f"{card} is missing or damaged"
            continue
        if known != sha256:
            yield f"{card} is another checkpoint than {path.name} names"
