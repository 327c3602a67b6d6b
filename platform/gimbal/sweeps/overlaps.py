"""Refuses what one part of a sweep would take from another without a word.

The space, `set` and the command line all change the base config. Two axes, or an axis and a fixed
value, that meet in a key would overrule each other by their order alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.overrides import Override
from gimbal.sweeps.space import Axis


def require_apart(axes: Sequence[Axis], fixed: Sequence[Override]) -> None:
    """Refuse keys that vary and meet another key that varies or is set.

    Args:
        axes: The space.
        fixed: What `set` and the command line say.

    Raises:
        ConfigError: Naming both places.
    """
    for number, axis in enumerate(axes):
        for other in axes[:number]:
            if _meet(axis.key, other.key):
                raise ConfigError(
                    f"{axis.where}: {axis.key} and {other.key} vary the same key",
                    "write one axis for it",
                )
        for given in fixed:
            for key in _leaves(".".join(given.keys), given.value):
                if _meet(axis.key, key):
                    raise ConfigError(
                        f"{given.origin}: {key} is set, but {axis.key} varies ({axis.where})",
                        "drop one of the two: a key that varies gets its values from the space",
                    )


def _meet(one: str, other: str) -> bool:
    """Return whether two dotted keys are the same, or one is a section that holds the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _leaves(key: str, value: Any) -> Iterator[str]:
    """Yield the keys that setting a key changes: a mapping is merged into what is there."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key
