"""Do the numbers of training's validation come out again where the policy is used?

Training validates on stored features, inside the training loop. Rollouts load a checkpoint, rebuild
each state from its object and views, and ask a policy. A mistake between the two (other weights,
other features, another order of candidates) shows nowhere else: each path alone looks fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gimbal.data.reading import BlockReader
from gimbal.errors import CannotTell, ConfigError
from gimbal.experiment.files import read_json
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_folder import RunFolder
from gimbal.training.metrics import METRICS_FILE, read_metrics
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.stages.reading import protocol_of, read_oracle, row_of, rows_of_split

if TYPE_CHECKING:
    from gimbal_nbv.scorer import NbvModel
    from gimbal_nbv.states import States
    from gimbal_nbv.training_data import Target

_NEEDED = ("oracle", "states", "train")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedNumber:
    """A number of the validation, found twice.

    Attributes:
        name: Its name in `metrics.jsonl`, without `val/`.
        trained: As training's validation found it.
        inferred: As the policies of rollouts find it.
    """

    name: str
    trained: float
    inferred: float

    @property
    def difference(self) -> float:
        """How far they are apart."""
        return abs(self.trained - self.inferred)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The best checkpoint of a run, checked.

    Attributes:
        checkpoint: Its folder.
        step: Its step.
        states: Validation states.
        numbers: What was compared.
    """

    checkpoint: Path
    step: int
    states: int
    numbers: tuple[CheckedNumber, ...]


def check_run(run: RunFolder) -> Checked:
    """Find the validation numbers of a run's best checkpoint again, as rollouts use it.

    Raises:
        ConfigError: The run is of another workload.
        CannotTell: It has not finished training, or logged no validation of that checkpoint.
        StorageError: The checkpoint or the rows are damaged.
    """
    from gimbal.training.checkpoints import best
    from gimbal_nbv.stages.training import load_model

    _, config = load_experiment(run.config_file)
    if not isinstance(config, NbvConfig):
        raise ConfigError(
            f"run {run.id} is of the workload '{config.workload}'", "name a run of nbv"
        )
    folders = {name: _finished(run, name) for name in _NEEDED}
    checkpoint = best(folders["train"])
    step = int(read_json(checkpoint / "checkpoint.json")["step"])
    trained = _validation(folders["train"], step)
    batches = list(_validation_states(config, folders))
    inferred = validation_numbers(
        load_model(checkpoint, config.model),
        batches,
        config.states.target,
        config.model.temperature,
    )
    return Checked(
        checkpoint=checkpoint,
        step=step,
        states=sum(map(len, batches)),
        numbers=tuple(
            CheckedNumber(name=name, trained=trained[name], inferred=value)
            for name, value in inferred.items()
            if name in trained
        ),
    )


def validation_numbers(
    model: NbvModel, batches: Iterable[States], target: Target, temperature: float
) -> dict[str, float]:
    """Return loss and regret of both networks, through the policies that rollouts use.

    Args:
        model: The networks.
        batches: States, one batch an object.
        target: What the gains count.
        temperature: Softness of the targets.
    """
    import torch

    from gimbal_nbv.features import FeatureCache
    from gimbal_nbv.policies import choose
    from gimbal_nbv.policies.learned import BlindPolicy, LearnedPolicy
    from gimbal_nbv.scorer import losses_of, normalised_gains
    from gimbal_nbv.training_data import target_gains

    sums: dict[str, float] = {}
    count = 0
    for states in batches:
        cache = FeatureCache(states.oracle, capacity=1)
        gains = torch.from_numpy(target_gains(states, target).astype(np.float32))
        used = torch.from_numpy(states.used)
        utility = normalised_gains(gains, used).numpy()
        for policy in (LearnedPolicy(model), BlindPolicy(model)):
            scores = policy.scores(states, cache)
            taken = utility[np.arange(len(states)), choose(scores, states)]
            truth = {"gains": gains, "used": used}
            given = {policy.name: torch.from_numpy(scores.astype(np.float32))}
            loss, _ = losses_of(given, truth, temperature)[policy.name]
            for name, value in (("loss", float(loss)), ("regret", float((1 - taken).sum()))):
                key = f"{name}/{policy.name}"
                sums[key] = sums.get(key, 0.0) + value
        count += len(states)
    return {name: total / count for name, total in sums.items()}


def _finished(run: RunFolder, name: str) -> Path:
    folder = run.stages / name
    if not (folder / "stage.json").exists():
        raise CannotTell(
            f"run {run.id} has no finished stage '{name}'", "run its config again: it continues"
        )
    return folder.resolve()


def _validation(train: Path, step: int) -> Mapping[str, float]:
    """Return what training's validation of a step found."""
    found: dict[str, float] = {}
    for record in read_metrics(train / METRICS_FILE):
        if int(record["step"]) == step:
            values = record["values"].items()
            found |= {k.removeprefix("val/"): v for k, v in values if k.startswith("val/")}
    if not found:
        raise CannotTell(
            f"{train / METRICS_FILE} holds no validation of step {step}, the best checkpoint's",
            "train anew: gimbal run CONFIG --force train",
        )
    return found


def _validation_states(config: NbvConfig, folders: Mapping[str, Path]) -> Iterator[States]:
    """Rebuild the validation states from their objects; the same choice as training's."""
    from gimbal_nbv.states import States

    rows, oracles = BlockReader(folders["states"]), BlockReader(folders["oracle"])
    chosen = rows_of_split(rows, ["val"])
    if not len(chosen):
        chosen = rows_of_split(rows, ["train"])
    names = np.asarray(rows.column("object_id"), dtype=str)[chosen]
    protocol, row_by_name = protocol_of(config.views, config.oracle), row_of(oracles)
    for name in dict.fromkeys(names):
        sets = rows.fetch(chosen[names == name], ["views"])["views"]
        oracle = read_oracle(oracles, row_by_name[str(name)], protocol)
        yield States(oracle, np.asarray(sets, dtype=np.int32))
