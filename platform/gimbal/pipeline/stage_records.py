"""Which run built a stage that a run used, and with which code: a line of its provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gimbal.errors import StorageError
from gimbal.experiment.files import read_json
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage_store import STAGE_FILE

_PROVENANCE = "provenance.json"


def stage_line(stage_dir: Path, used_by: RunFolder) -> dict[str, Any] | None:
    """Describe who built a finished stage; None: it is not finished, or runs every time.

    Args:
        stage_dir: The stage's folder.
        used_by: The run that uses it.

    Returns:
        `fingerprint`, `built_by` (`<experiment>/<run>`), `built_at`, and `reused`; for a stage of
        another run also that run's `commit`, `dirty` and `code_digest`, as long as it is there.
    """
    try:
        record = read_json(stage_dir / STAGE_FILE)
        builder = Path(record["provenance"])
        line = {
            "fingerprint": record["fingerprint"],
            "built_by": f"{builder.parent.name}/{builder.name}",
            "built_at": record["finished_at"],
            "reused": builder.name != used_by.id,
        }
    except (StorageError, KeyError, TypeError):
        return None
    return {**line, **_code_of(builder)} if line["reused"] else line


def _code_of(builder: Path) -> dict[str, Any]:
    """Return what is known of a run's code in a few words; nothing where the run is gone."""
    try:
        code = read_json(builder / _PROVENANCE)["code"]
        repository: dict[str, Any] = next(
            (one for one in code["repositories"] if "commit" in one), {}
        )
        return {
            "commit": repository.get("commit"),
            "dirty": repository.get("dirty"),
            "code_digest": code["digest"],
        }
    except (StorageError, KeyError, TypeError):
        return {}
