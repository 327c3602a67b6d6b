"""The settings every experiment shares; a workload's config extends them.

A settings model is frozen and refuses unknown keys, so that a misspelt key can never be ignored.
Nothing under `resources`, `platform`, `experiment` or `sweep` enters a fingerprint: they say where,
why and how fast a run happens, never what it computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field


class Settings(BaseModel):
    """Base of every settings model: frozen, unknown keys, NaN and infinity rejected."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class RaySettings(Settings):
    """Which Ray to use."""

    address: str | None = None
    """Address of a running Ray; none: `RAY_ADDRESS`, else Ray is started inside this process."""
    num_cpus: Annotated[int, Field(ge=1)] | None = None
    """CPUs an embedded Ray offers; none: all of this machine's, and at least two."""


class TrackingSettings(Settings):
    """Where MLflow keeps runs."""

    uri: str | None = None
    """MLflow store; none: `MLFLOW_TRACKING_URI`, else SQLite in the runs folder."""
    enabled: bool = True


class PlatformSettings(Settings):
    """Where a run happens and is kept."""

    runs_dir: Path = Path("runs")
    """Folder of all runs; any number of processes may share it."""
    ray: RaySettings = RaySettings()
    tracking: TrackingSettings = TrackingSettings()


class Resources(Settings):
    """What a run may use. World size never changes what is computed."""

    workers: Annotated[int, Field(ge=1)] = 1
    """Data-parallel training workers."""
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1.0
    gpus_per_worker: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    """`auto`: one where the cluster has as many GPUs as workers, else none."""
    gpu_memory: Annotated[ByteSize, Field(ge=1)] | None = None
    """Memory each worker needs on its GPU, such as `10GiB`: it is reserved before training starts,
    so that a neighbour is met in seconds; none: whatever is free."""
    max_batch_per_worker: Annotated[int, Field(ge=1)] | None = None
    """Samples of one forward pass; a larger share of the global batch is accumulated."""
    max_worker_failures: Annotated[int, Field(ge=-1)] = 3
    """Lost workers a training run survives; -1: any number."""


class SweepPlace(Settings):
    """Of which sweep a run is a trial; `gimbal sweep` writes it, nobody by hand."""

    id: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/sweep-\d{8}-\d{6}-[0-9a-f]{4,8}$")
    ]
    """`<experiment>/<sweep id>`, the sweep's folder in the runs folder."""
    trial: Annotated[str, Field(max_length=500)]
    """The trial's readable name."""


_OURS = ("gimbal.db", "mlflow.db", "mlartifacts", "mlruns")


def _not_ours(name: str) -> str:
    if name.startswith(_OURS):
        raise ValueError(f"an experiment may not be called {name!r}: the runs folder has a file so")
    return name


class ExperimentSettings(Settings):
    """The keys every experiment file may hold; a workload adds its own."""

    workload: str
    experiment: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), AfterValidator(_not_ours)
    ]
    """Name under which runs are kept: `runs/<experiment>/<run-id>`."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """What every random choice starts from; numpy and torch take no other numbers."""
    sweep: SweepPlace | None = None
    """The sweep this run is a trial of."""
    resources: Resources = Resources()
    platform: PlatformSettings = PlatformSettings()
