"""Do the numbers of training's validation come out again where the policy is used?

Training validates on stored features, inside the training loop. Rollouts load a checkpoint, rebuild
each state from its object and views, and ask a policy. A mistake between the two (other weights,
other features, another order of candidates) shows nowhere else: each path alone looks fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from gimbal_nbv.model_settings import needs_images
from gimbal_nbv.stages.reading import (
    DepthNoise,
    images_of,
    protocol_of,
    read_oracle,
    row_of,
    rows_of_split,
)

if TYPE_CHECKING:
    from gimbal_nbv.features import FeatureCache
    from gimbal_nbv.oracle import Values
    from gimbal_nbv.policies import Policy
    from gimbal_nbv.states import States

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
        left_out: What training logged and scores alone do not give: the loss of a direction, of a
            refined one, or with an auxiliary task.
    """

    checkpoint: Path
    step: int
    states: int
    numbers: tuple[CheckedNumber, ...]
    left_out: tuple[str, ...] = ()


def check_run(run: RunFolder) -> Checked:
    """Find the validation numbers of a run's best checkpoint again, as rollouts use it.

    Raises:
        ConfigError: The run is of another workload.
        CannotTell: It has not finished training, or logged no validation of that checkpoint.
        StorageError: The checkpoint or the rows are damaged.
    """
    from gimbal.training.checkpoints import best
    from gimbal_nbv.extractors import TrainedNetwork
    from gimbal_nbv.policies.learned import trained_policies

    _, config = load_experiment(run.config_file)
    if not isinstance(config, NbvConfig):
        raise ConfigError(
            f"run {run.id} is of the workload '{config.workload}'", "name a run of nbv"
        )
    needed = (*_NEEDED, "views") if needs_images(config.model) else _NEEDED
    learned = config.model.extractor == "multiview"
    needed = (*needed, "multiview") if learned else needed
    folders = {name: _finished(run, name) for name in needed}
    checkpoint = best(folders["train"])
    step = int(read_json(checkpoint / "checkpoint.json")["step"])
    trained = _validation(folders["train"], step)
    batches = list(_validation_states(config, folders))
    network = (
        TrainedNetwork(folder=folders["multiview"], settings=config.multiview)
        if learned and config.multiview is not None
        else None
    )
    policies = trained_policies(checkpoint, config.model, config.views.image_size, network)
    inferred = validation_numbers(policies, batches, config)
    if not set(inferred) & set(trained):
        raise CannotTell(
            f"training's validation of step {step} holds none of {', '.join(sorted(inferred))}",
            "train anew: gimbal run CONFIG --force train",
        )
    return Checked(
        checkpoint=checkpoint,
        step=step,
        states=sum(len(states) for states, _, _ in batches),
        numbers=tuple(
            CheckedNumber(name=name, trained=trained[name], inferred=value)
            for name, value in inferred.items()
            if name in trained
        ),
        left_out=tuple(
            sorted(n for n in trained if n.startswith(("loss/", "regret/")) and n not in inferred)
        ),
    )


def validation_numbers(
    policies: Sequence[Policy],
    batches: Iterable[tuple[States, FeatureCache, Values]],
    config: NbvConfig,
) -> dict[str, float]:
    """Return loss and regret of both networks, through the policies that rollouts use.

    Args:
        policies: Asked one after the other.
        batches: States, what can be seen of them and what candidates are worth, one an object.
        config: Says what was trained for.
    """
    import torch

    from gimbal_nbv.objectives.configured import network_loss
    from gimbal_nbv.policies import choose
    from gimbal_nbv.scorer import normalised_gains

    sums: dict[str, float] = {}
    count = 0
    for states, cache, worth in batches:
        gains = torch.from_numpy(worth.astype(np.float32))
        used = torch.from_numpy(states.used)
        utility = normalised_gains(gains, used).numpy()
        truth = {"gains": gains, "used": used}
        for policy in policies:
            scores = policy.scores(states, cache)
            taken = utility[np.arange(len(states)), choose(scores, states)]
            found = {"regret": float((1 - taken).sum())}
            if _loss_is_of_scores(config):
                said = torch.from_numpy(scores.astype(np.float32))
                found["loss"] = float(network_loss(said, truth, config.model, config.objective)[0])
            for name, value in found.items():
                key = f"{name}/{policy.name}"
                sums[key] = sums.get(key, 0.0) + value
        count += len(states)
    return {name: total / count for name, total in sums.items()}


def _loss_is_of_scores(config: NbvConfig) -> bool:
    """Return whether the loss can be found from scores alone, which is all a policy gives."""
    discrete = config.model.head == "discrete" and not config.model.refinement
    return discrete and not config.objective.information_gain


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


def _validation_states(
    config: NbvConfig, folders: Mapping[str, Path]
) -> Iterator[tuple[States, FeatureCache, Values]]:
    """Rebuild the validation states from their objects; the same choice as training's.

    What candidates are worth is found anew too, but for what a learned reconstruction said.
    """
    from gimbal_nbv.features import FeatureCache
    from gimbal_nbv.states import States
    from gimbal_nbv.training_data import target_gains

    rows, oracles = BlockReader(folders["states"]), BlockReader(folders["oracle"])
    chosen = rows_of_split(rows, ["val"])
    if not len(chosen):
        chosen = rows_of_split(rows, ["train"])
    names = np.asarray(rows.column("object_id"), dtype=str)[chosen]
    views = BlockReader(folders["views"]) if "views" in folders else None
    noise = DepthNoise(config.oracle.depth_noise, config.seed)
    protocol, row_by_name = protocol_of(config.views, config.oracle), row_of(oracles)
    for name in dict.fromkeys(names):
        stored = rows.fetch(chosen[names == name], ["views", "gains"])
        oracle = read_oracle(oracles, row_by_name[str(name)], protocol)
        images = images_of(views, str(name), noise) if views is not None else None
        cache = FeatureCache(oracle, capacity=1, images=images)
        states, target = States(oracle, np.asarray(stored["views"], np.int32)), config.states.target
        worth = stored["gains"] if target == "learned_rri" else target_gains(states, target)
        yield states, cache, worth
