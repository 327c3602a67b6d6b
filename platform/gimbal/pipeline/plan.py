"""Which stages a run executes, in which order, and which of them anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from gimbal.errors import ConfigError
from gimbal.experiment.stage import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Stages in execution order and the names of those to run anew."""

    stages: tuple[Stage, ...]
    forced: frozenset[str] = frozenset()


def make_plan(
    stages: Sequence[Stage],
    *,
    given: Sequence[str] = (),
    only: str | None = None,
    force: Sequence[str] = (),
) -> Plan:
    """Order and check the stages of a workload.

    Args:
        stages: The workload's stages; each must follow its inputs.
        given: Names of outputs that exist already and may be inputs.
        only: Run this stage and what it needs, nothing after it.
        force: Run these anew; what follows them reruns because its inputs change.

    Raises:
        ConfigError: A name is unknown or used twice, or a stage precedes its input.
    """
    names = [stage.name for stage in stages]
    _check_order(stages, given)
    for wanted in (*force, *([only] if only else [])):
        if wanted not in names:
            near = get_close_matches(wanted, names, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise ConfigError(
                f"there is no stage '{wanted}'", f"{hint}stages are: {', '.join(names)}"
            )
    kept = _ancestors(stages, only) if only else set(names)
    return Plan(
        stages=tuple(stage for stage in stages if stage.name in kept),
        forced=frozenset(name for name in force if name in kept),
    )


def _check_order(stages: Sequence[Stage], given: Sequence[str]) -> None:
    seen = set(given)
    for stage in stages:
        if stage.name in seen:
            raise ConfigError(f"two stages are called '{stage.name}'", "rename one of them")
        missing = [name for name in stage.inputs if name not in seen]
        if missing:
            raise ConfigError(
                f"stage '{stage.name}' reads '{missing[0]}', which no earlier stage makes",
                "list the stages so that each follows its inputs",
            )
        seen.add(stage.name)


def _ancestors(stages: Sequence[Stage], name: str) -> set[str]:
    wanted = {name}
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted.update(stage.inputs)
    return wanted
