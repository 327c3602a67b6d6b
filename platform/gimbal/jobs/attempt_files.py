"""Where a job's files are, and the files the service writes for an attempt.

Everything here may be done again: a controller that died in the middle is followed by one that
writes the same files with the same content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gimbal.errors import StorageError
from gimbal.experiment.attempt import AttemptFolder, GrantedGpu, GrantFile, StopFile
from gimbal.experiment.files import atomic_write_text, ensure_folder
from gimbal.experiment.yaml_writing import dump_yaml
from gimbal.gpus.slots import JOB_PREFIX
from gimbal.jobs.model import Attempt, Job, JobSpec, StopWhy
from gimbal.scheduling.model import GpuUuid, Grant, JobId, NodeName

JOBS_FOLDER = ".jobs"


def job_dir(runs_dir: Path, job_id: JobId) -> Path:
    """Return the folder of a job's service files."""
    return runs_dir / JOBS_FOLDER / job_id


def config_path(runs_dir: Path, job_id: JobId) -> Path:
    """Return the config that every attempt of a job runs."""
    return job_dir(runs_dir, job_id) / "config.yaml"


def attempt_folder(runs_dir: Path, job_id: JobId, number: int) -> AttemptFolder:
    """Return the folder of one attempt; it need not exist."""
    return AttemptFolder(job_dir(runs_dir, job_id) / str(number))


def placed_config(spec: JobSpec, runs_dir: Path) -> dict[str, Any]:
    """Return a job's config as its driver is to read it.

    The placement is the job's, whatever the config said: as many workers as cards, this service's
    runs folder, and the Ray that launched the driver.

    Args:
        spec: What was asked for.
        runs_dir: The service's runs folder.
    """
    config = dict(spec.config)
    resources = {**_section(config, "resources")}
    if spec.gpus:
        resources |= {"workers": spec.gpus, "gpus_per_worker": spec.share}
    else:
        resources |= {"gpus_per_worker": 0}
    resources["gpu_memory"] = spec.memory_bytes
    platform = {**_section(config, "platform"), "runs_dir": str(runs_dir.absolute())}
    platform["ray"] = {**_section(platform, "ray"), "address": None}
    return {**config, "resources": resources, "platform": platform}


def write_config(runs_dir: Path, job: Job) -> Path:
    """Write the config of a job and return its path.

    Raises:
        StorageError: It could not be written.
    """
    path = config_path(runs_dir, job.id)
    ensure_folder(path.parent)
    return atomic_write_text(path, dump_yaml(placed_config(job.spec, runs_dir)))


def write_grant(
    folder: AttemptFolder,
    job: Job,
    attempt: Attempt,
    bundles: Sequence[tuple[str, int]],
    tolerated_bytes: int | None = None,
) -> None:
    """Tell an attempt its cards.

    Args:
        folder: The attempt's folder.
        job: The job.
        attempt: The attempt.
        bundles: Card and its index for each bundle of the reservation, in order.
        tolerated_bytes: Memory of others with which a card counts as free; None: the defaults.

    Raises:
        StorageError: It could not be written.
    """
    granted = {grant.uuid: grant for grant in attempt.grants}
    gpus = tuple(
        _granted(granted[GpuUuid(uuid)], index, bundle)
        for bundle, (uuid, index) in enumerate(bundles)
    )
    record = GrantFile(
        job=job.id,
        attempt=attempt.number,
        reservation=JOB_PREFIX + attempt.submission_id if gpus else None,
        gpus=gpus,
        memory_bytes=attempt.grants[0].memory_bytes if attempt.grants else None,
        tolerated_bytes=_tolerated(attempt, tolerated_bytes),
    )
    folder.write("grant", record)


def write_stop(folder: AttemptFolder, why: StopWhy, at: float, words: str) -> None:
    """Ask an attempt to checkpoint and leave; asking again for the same reason writes nothing.

    Raises:
        StorageError: It could not be written.
    """
    try:
        known = folder.read("stop", StopFile)
    except StorageError:
        known = None
    if known is None or known.why != why.value:
        folder.write("stop", StopFile(why=why.value, at=at, words=words))


def _granted(grant: Grant, index: int, bundle: int) -> GrantedGpu:
    return GrantedGpu(
        uuid=grant.uuid,
        node=NodeName(grant.node),
        index=index,
        bundle=bundle,
        share=grant.share,
    )


def _tolerated(attempt: Attempt, usual_bytes: int | None) -> int | None:
    """Return what the attempt's worker must put up with: what was seen when the card was chosen.

    A desktop of many processes holds more than the allowance, which is for each of them.
    """
    if usual_bytes is None:
        return None
    seen = (int(card.get("foreign_bytes", 0)) for card in attempt.gpus_at_launch)
    return max(usual_bytes, *seen, 0)


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}
