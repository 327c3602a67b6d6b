"""The multi-view model and its blind twin as one training task.

Both learn from the same cars at the same steps; the model may see them turned, the twin has them as
they stand. Everything drawn is keyed by sample (`drawing`) and every term is a sum and a count, so
neither workers nor pieces nor padding can change a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gimbal.training.settings import TrainSettings
from gimbal_multicar.learning.batch import truth_of, views_of
from gimbal_multicar.learning.blind import BlindPoses, seats_of
from gimbal_multicar.learning.car_poses import car_error_terms, main_from_views
from gimbal_multicar.learning.drawing import Draws, probabilities_of
from gimbal_multicar.learning.losses import loss_of
from gimbal_multicar.learning.measured import (
    NAMES,
    OF_PICTURES,
    POSE_TERMS,
    PREFIX,
    TOLD,
    TOLD_TERMS,
)
from gimbal_multicar.learning.model import CoopTwins, build_model, parameter_groups
from gimbal_multicar.learning.predicting import (
    Answers,
    answers,
    dtype_of,
    in_chunks,
    one_of,
    predict,
)
from gimbal_multicar.learning.priors import with_agent_priors
from gimbal_multicar.learning.samples import CoopSource, cars_a_step
from gimbal_multicar.learning.settings import (
    LossSettings,
    ModelSettings,
    PriorSettings,
    SampleSettings,
)

if TYPE_CHECKING:
    from torch import nn

    from gimbal.training.task import Batch, Count, LossTerms, ParameterGroups, Source
    from gimbal_vision.multiview.views import Predictions, Truth

SPLITS = {"train": "train", "val": "validate"}
_LOOKED_AT = 16


@dataclass(frozen=True, kw_only=True)
class CoopPlan:
    """What decides a training.

    Attributes:
        samples: Which cars make a sample.
        model: Which network.
        loss: What is minimised.
        train: How.
        seed: The experiment's.
        at_once: Samples that are read together in validation; None: a few.
    """

    samples: SampleSettings
    model: ModelSettings
    loss: LossSettings
    train: TrainSettings
    seed: int
    at_once: int | None = None


class CoopTask:
    """A `gimbal.training.task.TrainTask`.

    Args:
        plan: What decides the training.
        sources: Opens the samples of a split, `train` or `validate`.
    """

    sharded_validation = True
    count_dtype = torch.float32
    """Of what is counted before a network runs; a module of another type counts in its own."""

    def __init__(self, plan: CoopPlan, sources: Callable[[str], CoopSource]) -> None:
        self._plan = plan
        self._open = sources
        self._loss = loss_of(plan.loss, plan.samples, plan.model)
        self._draws = Draws(
            seed=plan.seed, samples=plan.samples, given=probabilities_of(plan.model.given)
        )
        self._has_priors = plan.model.priors.use_agent_pose_prior
        weights = self._loss.term_weights
        self.term_weights = {**weights, **{PREFIX + name: weights[name] for name in POSE_TERMS}}
        self._train = sources(SPLITS["train"])
        self.plan_note = _note(self._train, plan)

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make both networks and their parameter groups."""
        plan = self._plan
        twins = build_model(plan.model, plan.samples)
        if (metres := _mean_range_m(self._train)) is not None:
            twins.model.scale_head.start_at(metres)
            twins.blind.scale_head.start_at(metres)
        if plan.model.init_from is not None:
            from gimbal_multicar.learning.loading import start_from

            start = start_from(plan.model.init_from, twins)
            start.require_trained(twins, told=self._draws.given is not None)
            if start.note:
                self.plan_note = f"{_note(self._train, plan)}; {start.note}"
        groups = parameter_groups(
            twins, plan.model, lr=plan.train.lr, weight_decay=plan.train.weight_decay
        )
        return twins, groups

    def source(self, split: str) -> Source:
        """Return the samples of `train` or `val`."""
        return self._train if split == "train" else self._open(SPLITS[split])

    def sample_ids(self, indices: np.ndarray[Any, Any]) -> list[str]:
        """Return split/scenario/frame/main car of training samples."""
        return self._train.names(indices)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the terms of both networks."""
        dtype = dtype_of(module)
        shown = self._draws.shown(batch, step)
        turned = self._draws.turned(shown, step)
        views, use = with_agent_priors(
            views_of(turned, dtype),
            self._draws.told(shown, step),
            turned,
            self._plan.model.priors,
            seed=self._plan.seed,
            step=step,
        )
        said, blind = module(views, use, seats_of(shown))
        stands = truth_of(shown, dtype)
        return self._terms(said, stands if turned is shown else truth_of(turned, dtype)) | (
            self._blind_terms(blind, stands)
        )

    def counts(self, batch: Batch, step: int) -> Mapping[str, Count]:
        """Return what `loss` counts, without a network; some depends on how cars are turned."""
        unseen = {name: value for name, value in batch.items() if name != "rgb"}
        turned = self._draws.turned(self._draws.shown(unseen, step), step)
        counts = self._loss.counts(truth_of(turned, self.count_dtype))
        return {**counts, **{PREFIX + name: counts[name] for name in POSE_TERMS}}

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return (sum, count) of the loss by sample and of every term.

        Terms are taken sample by sample, so that neither workers nor pieces matter. Priors of where
        cars are stay untold, as where the model is judged; numbers with them begin with `told/`.
        """
        assert isinstance(module, CoopTwins)
        by_picture = self._plan.samples.views == "cameras"
        pairs = _Pairs(self._loss.term_weights, NAMES | OF_PICTURES if by_picture else NAMES)
        for indices in in_chunks(len(source), self._plan.at_once):
            found = answers(module, source, indices, priors=PriorSettings())
            told = predict(module, found.batch) if self._has_priors else None
            if by_picture:
                pairs.add_cars(found)
            for sample, views in enumerate(found.batch["present"].sum(1).tolist()):
                truth = one_of(found.truth, sample, views)
                terms = self._terms(one_of(found.said, sample, views), truth)
                blind = self._blind_terms(one_of(found.blind, sample, views), truth)
                pairs.add({**terms, **blind})
                if told is not None:
                    pairs.add_told(self._terms(one_of(told, sample, views), truth))
        return pairs.found

    def _terms(self, said: Predictions, truth: Truth) -> dict[str, Any]:
        return dict(self._loss(said, truth))

    def _blind_terms(self, said: BlindPoses, truth: Truth) -> dict[str, Any]:
        terms = self._loss.pose_terms(said.cam_quats, said.cam_trans, truth)
        return {PREFIX + name: pair for name, pair in terms.items()}


class _Pairs:
    """Adds up the terms of samples.

    Args:
        weights: Of the model's terms; a sample's loss is their weighted sum.
        names: What terms are called that have another name here.
    """

    def __init__(self, weights: Mapping[str, float], names: Mapping[str, str]) -> None:
        self._weights = weights
        self._names = names
        self.found: dict[str, tuple[float, float]] = {}

    def add(self, terms: LossTerms) -> None:
        """Add one sample's."""
        total = 0.0
        for name, (value, count) in terms.items():
            counted = 1.0 if count is None else float(count)
            self._put(self._names.get(name, name), float(value), counted)
            total += self._weights.get(name, 0.0) * float(value) / counted if counted else 0.0
        self._put("loss", total, 1.0)

    def add_told(self, terms: LossTerms) -> None:
        """Add what one sample's priors make of poses and ranges."""
        for name in TOLD_TERMS:
            value, count = terms[name]
            full = TOLD + self._names.get(name, name)
            self._put(full, float(value), 1.0 if count is None else float(count))

    def add_cars(self, found: Answers) -> None:
        """Add the errors of cars' poses, where views are pictures."""
        for prefix, said in (("", found.said), (PREFIX, found.blind)):
            poses = main_from_views(said.cam_quats.double(), said.cam_trans.double(), found.batch)
            for name, (value, count) in car_error_terms(poses, found.batch).items():
                full = NAMES.get(prefix + name, prefix + name)
                self._put(full, float(value), float(count))

    def _put(self, name: str, value: float, count: float) -> None:
        before = self.found.get(name, (0.0, 0.0))
        self.found[name] = (before[0] + value, before[1] + count)


def _note(source: CoopSource, plan: CoopPlan) -> str:
    """Say how many cars a step holds."""
    cars = [moment.num_views for moment in source.moments]
    return cars_a_step(cars, plan.samples, plan.train.global_batch)


def _mean_range_m(source: CoopSource) -> float | None:
    """Return the geometric mean range of some training samples: where the metric scale starts."""
    some = np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).astype(np.int64))
    batch = source.fetch(some)
    known = np.asarray(batch["range_m"])[np.asarray(batch["range_m"]) > 0]
    return float(np.exp(np.log(known).mean())) if len(known) else None
