r"""From a YAML file and overrides to a workload and its settings.

A file may start from others: `extends: quickstart.yaml`, a path beside the file itself, or a list
of them of which the later win. Mappings are merged key by key, lists and values are replaced.
`${key}` stands for another key's value (OmegaConf), `\${` for a plain `${`. Relative paths in
settings count from the folder the command is run in, as on any command line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gimbal.errors import ConfigError
from gimbal.experiment.config_errors import explain_validation
from gimbal.experiment.files import exists
from gimbal.experiment.nearest import nearest
from gimbal.experiment.overrides import Override, parse_override
from gimbal.experiment.registry import load_workload, workloads
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.workload import Workload
from gimbal.experiment.yaml_reading import KeyPath, read_yaml
from gimbal.experiment.yaml_writing import dump_yaml

__all__ = [
    "ConfigTree",
    "default_settings",
    "dump_yaml",
    "load_experiment",
    "load_settings",
    "read_config",
]

_EXTENDS = "extends"
_MAX_LISTED = 6


@dataclass(frozen=True, slots=True)
class ConfigTree:
    """A config's plain values before they are checked, and where each came from."""

    data: dict[str, Any]
    origins: dict[KeyPath, str]


def load_experiment(
    path: str | Path, overrides: Sequence[str | Override] = ()
) -> tuple[Workload[Any], ExperimentSettings]:
    """Read an experiment's file, apply overrides and check every key.

    Args:
        path: The YAML file.
        overrides: `key=value` texts or ready overrides, applied in order; see `overrides`.

    Returns:
        The workload the file names, and its settings.

    Raises:
        ConfigError: Naming the file and line, or the override, and what to write instead.
    """
    source = Path(path)
    tree = read_config(source, overrides)
    name = tree.data.get("workload")
    if not isinstance(name, str):
        known = ", ".join(sorted(workloads())) or "none is installed"
        raise ConfigError(
            f"{source}: no workload is named", f"add `workload: NAME`; installed: {known}"
        )
    workload = load_workload(name)
    return workload, _checked(workload, tree, source)


def load_settings(
    workload: Workload[Any], path: Path, overrides: Sequence[str | Override] = ()
) -> ExperimentSettings:
    """Read an experiment's file for a workload that is at hand already.

    Raises:
        ConfigError: See `load_experiment`.
    """
    return _checked(workload, read_config(path, overrides), path)


def default_settings(
    workload: Workload[Any], base: Mapping[str, Any], overrides: Sequence[str | Override] = ()
) -> ExperimentSettings:
    """Return a workload's own defaults with overrides, for a command that reads no file.

    Args:
        workload: Whose settings.
        base: What the defaults lack, such as `{"workload": "multicar", "experiment": "check"}`.
        overrides: See `load_experiment`.

    Raises:
        ConfigError: See `load_experiment`.
    """
    source = Path("the defaults")
    return _checked(workload, _merged([ConfigTree(dict(base), {})], overrides, source), source)


def _checked(workload: Workload[Any], tree: ConfigTree, source: Path) -> ExperimentSettings:
    try:
        settings: ExperimentSettings = workload.config.model_validate(tree.data)
    except ValidationError as error:
        raise explain_validation(
            error, workload.config, tree.data, tree.origins, str(source)
        ) from error
    return settings


def read_config(path: Path, overrides: Sequence[str | Override] = ()) -> ConfigTree:
    """Read a file with what it extends, apply overrides and resolve `${…}`.

    An override that is a mapping is merged into the mapping that is there; anything else replaces
    what is there. A number in its key names an item of a list.

    Raises:
        ConfigError: See `load_experiment`; keys are not yet checked here.
    """
    return _merged(_read_layers(path, ()), overrides, path)


def _merged(
    layers: Sequence[ConfigTree], overrides: Sequence[str | Override], path: Path
) -> ConfigTree:
    from omegaconf import OmegaConf

    origins: dict[KeyPath, str] = {}
    for layer in layers:
        origins.update(layer.origins)
    with _config_errors(str(path)):
        config = OmegaConf.create(layers[0].data)
        for layer in layers[1:]:
            config.merge_with(layer.data)
    for given in overrides:
        override = parse_override(given) if isinstance(given, str) else given
        with _config_errors(override.origin):
            OmegaConf.update(config, ".".join(override.keys), override.value, merge=True)
        origins[override.keys] = override.origin
        for length in range(1, len(override.keys)):
            origins.setdefault(override.keys[:length], override.origin)
    with _config_errors(str(path)):
        data = OmegaConf.to_container(config, resolve=True)
    return ConfigTree(dict(data), origins)  # type: ignore[arg-type]


def _read_layers(path: Path, above: tuple[Path, ...]) -> list[ConfigTree]:
    """Return what a file extends, then the file itself."""
    if not exists(path):
        raise _missing(path, above)
    here = path.resolve()
    if here in above:
        chain = " → ".join(item.name for item in (*above[above.index(here) :], here))
        raise ConfigError(f"{path} extends itself: {chain}", f"remove one `{_EXTENDS}`")
    document = read_yaml(path)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: is not a mapping of keys", "write `key: value` lines")
    origins = {key: f"{path}, line {line}" for key, line in document.lines.items()}
    bases = _bases(data.pop(_EXTENDS, None), origins.get((_EXTENDS,), str(path)))
    layers = [layer for base in bases for layer in _read_layers(path.parent / base, (*above, here))]
    return [*layers, ConfigTree(data, origins)]


def _bases(value: Any, origin: str) -> list[str]:
    names = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"{origin}: `{_EXTENDS}` must be a file name or a list of them",
            f"write `{_EXTENDS}: quickstart.yaml`",
        )
    return names


@contextlib.contextmanager
def _config_errors(source: str) -> Iterator[None]:
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (OmegaConfBaseException, RecursionError, ValueError) as error:
        reason = (str(error).splitlines() or ["it refers to itself"])[0]
        key = getattr(error, "full_key", None)
        raise ConfigError(
            f"{source}: {f'at {key}: ' if key else ''}{reason}",
            "name a key or item that exists; write `\\${` for a plain `${`",
        ) from error


def _missing(path: Path, above: Sequence[Path]) -> ConfigError:
    asked = f" (extended by {above[-1]})" if above else ""
    folders = [path.parent, Path("configs")]
    files = {
        str(file)
        for folder in folders
        if folder.is_dir()
        for pattern in ("*.yaml", "*/*.yaml", "*.yml")
        for file in folder.glob(pattern)
    }
    near = nearest(str(path), files) or [f for f in files if Path(f).stem == path.stem]
    beside = sorted(file for file in files if Path(file).parent == path.parent)[:_MAX_LISTED]
    meant = f"did you mean {near[0]}? " if near else ""
    listed = f"files there: {', '.join(beside)}" if beside else ""
    remedy = f"{meant}{listed}".strip() or "check the path"
    return ConfigError(f"there is no config {path}{asked}", remedy)
