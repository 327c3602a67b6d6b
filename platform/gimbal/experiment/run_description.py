"""What a report says about the run it stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gimbal.experiment.files import read_json
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage_store import STAGE_FILE


def describe_run(folder: RunFolder) -> dict[str, Any]:
    """Return command, commit, config, stages and gates of a run.

    Raises:
        StorageError: A file of the run is missing or damaged.
    """
    state = folder.state()
    provenance = read_json(folder.provenance_file)
    code: dict[str, Any] = next(
        (r for r in provenance["code"]["repositories"] if "commit" in r), {}
    )
    return {
        "run_id": state.id,
        "experiment": state.experiment,
        "command": " ".join(state.command),
        "commit": code.get("commit"),
        "dirty": code.get("dirty"),
        "created": state.started_at.isoformat(timespec="seconds"),
        "config_yaml": folder.config_file.read_text(),
        "stages": [
            {
                "name": name,
                "status": str(stage.status),
                "seconds": stage.seconds,
                "fingerprint": stage.fingerprint,
            }
            for name, stage in state.stages.items()
        ],
        "gates": [gate for name in state.stages for gate in _gates(folder.stages / name, name)],
        "platform": provenance.get("machine"),
    }


def _gates(stage_dir: Path, name: str) -> list[dict[str, Any]]:
    path = stage_dir / STAGE_FILE
    if not path.exists():
        return []
    return [{"stage": name, **gate} for gate in read_json(path)["gates"]]
