"""The service's settings: one file, one section for each part that has any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from gimbal.api.settings import ApiSettings
from gimbal.experiment.config_errors import explain_validation
from gimbal.experiment.loading import read_config
from gimbal.experiment.plain import to_plain
from gimbal.experiment.settings import Settings
from gimbal.experiment.yaml_reading import KeyPath
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.settings import OccupancySettings
from gimbal.jobs.settings import ControllerSettings
from gimbal.scheduling.retrying import RetrySettings
from gimbal.scheduling.settings import PolicySettings

_DEFAULTS = Path(__file__).with_name("defaults.yaml")


class ServiceRay(Settings):
    """Which Ray runs the jobs."""

    address: str | None = None
    """`host:port` of a running Ray; none: `RAY_ADDRESS`, else one of the service's own."""
    dashboard: str | None = None
    """URL of its dashboard, which takes jobs; none: Ray is asked."""
    num_cpus: Annotated[int, Field(ge=1)] | None = None
    """CPUs an own Ray offers; none: all of this machine's, and at least two."""


class ServeSettings(Settings):
    """Everything `gimbal serve` can be told."""

    host: str = "127.0.0.1"
    """Address to listen on; this machine only, until somebody decides otherwise."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8321
    """Port; 0: any free one."""
    runs_dir: Path = Path("runs")
    """Folder of all runs; every node must see it under this path."""
    database: str | None = None
    """URL of a Postgres; none: SQLite in the runs folder."""
    fake_gpus: Path | None = None
    """A YAML file of GPUs that do not exist, to try things out."""
    auth: bool = True
    """Whether requests need a token; off only on loopback."""
    control: bool = True
    """Whether this process may act as the controller; off for a second process that only answers
    requests. Of several that may, one does."""
    ray: ServiceRay = ServiceRay()
    gpus: OccupancySettings = OccupancySettings()
    fence: FenceSettings = FenceSettings()
    controller: ControllerSettings = ControllerSettings()
    policy: PolicySettings = PolicySettings()
    retry: RetrySettings = RetrySettings()
    api: ApiSettings = ApiSettings()


def load_settings(
    path: Path | None, overrides: Sequence[str], given: Mapping[str, Any]
) -> ServeSettings:
    """Read the service's settings.

    Args:
        path: A YAML file; None: defaults.
        overrides: `key=value` texts.
        given: Command line options by the name of their setting; those that are None say nothing.

    Raises:
        ConfigError: Naming the line or override, and what to write instead.
    """
    tree = read_config(path or _DEFAULTS, overrides)
    options = {name: to_plain(value) for name, value in given.items() if value is not None}
    origins: dict[KeyPath, str] = {
        **tree.origins,
        **{(name,): f"--{name.replace('_', '-')}" for name in options},
    }
    data: dict[str, Any] = {**tree.data, **options}
    source = str(path) if path else "the command line"
    try:
        return ServeSettings.model_validate(data)
    except ValidationError as error:
        raise explain_validation(error, ServeSettings, data, origins, source) from error
