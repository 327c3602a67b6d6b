"""Stage `states`: partial reconstructions of the training objects, described for the scorer."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import DataStage, Item
from gimbal.errors import ConfigError
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.config import OracleSettings, StateSettings, ViewSettings
from gimbal_nbv.holding_out import held_out
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.stages.reading import (
    DepthNoise,
    open_rows,
    protocol_of,
    read_images,
    read_oracle,
    rows_of_split,
)

if TYPE_CHECKING:
    from gimbal_nbv.tokens.extractor import FeatureExtractor
    from gimbal_nbv.training_data import Target, Worth

_UNITS = {
    "coverage": "share of samples",
    "chamfer": "share of the Chamfer distance",
    "learned_rri": "share of samples and of the Chamfer distance, blended",
}


@dataclass(frozen=True, kw_only=True)
class StatesStage(DataStage):
    """Draws states of each training object and computes what a policy sees and the true gains.

    Attributes:
        extractor: Who makes tokens of the views; none: no tokens. Needs stage `views`, and where it
            is the multi-view model stage `multiview`.
        multiview: Of that model.
        features: Describe every candidate for the scorer.
        information: Tell what the auxiliary task asks for.
        first_view: The first view of every state; any where None.
        completion: Of the learned reconstruction that says what candidates are worth. Needs stages
            `completion` and `sensitivity`.
    """

    libraries: ClassVar[tuple[str, ...]] = (*DataStage.libraries, "numba", "torch")

    settings: StateSettings
    views: ViewSettings
    oracle: OracleSettings
    extractor: str | None = None
    multiview: MultiviewSettings | None = None
    features: bool = True
    information: bool = False
    first_view: int | None = None
    completion: CompletionSettings | None = None
    inputs: tuple[str, ...] = ("oracle",)
    items_per_block: int = 8

    @property
    def schema(self) -> BlockSchema:
        """One row a state."""
        M, longest = self.views.candidates, self.settings.longest
        return BlockSchema.of(
            Column("object_id", "string"),
            Column("split", "string", description="train, or val to choose the checkpoint by"),
            Column("gains", "float32", (M,), unit=_UNITS[self.settings.target]),
            Column("used", "bool", (M,), description="candidates already taken"),
            Column("views", "int32", (longest,), description="in the order taken, then -1"),
            *self._described(M, longest),
        )

    def _described(self, M: int, longest: int) -> Iterable[Column]:
        from gimbal_nbv.features import ANGLE_FEATURES, SIGHTED_FEATURES

        if self.features:
            yield Column("features", "float32", (M, SIGHTED_FEATURES))
            yield Column("blind", "float32", (M, ANGLE_FEATURES), description="angles only")
        if self.extractor is not None:
            from gimbal_nbv.extractors import format_of

            tokens = format_of(self.extractor, self.multiview)
            shape = (longest, tokens.tokens_per_view(self.views.image_size), tokens.dim)
            yield Column("tokens", "float16", shape, frame="first view", description="of each view")
        if self.information:
            yield Column("unknown_share", "float32", (M,), unit="share of rays")
            yield Column("coverage", "float32", unit="share of samples")

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        """One item a training object."""
        rows = open_rows(inputs, "oracle")
        ids = list(rows.column("object_id"))
        chosen = rows_of_split(rows, ["train"])
        families = [str(name) for name in rows.column("family")]
        named = {str(ids[row]): families[row] for row in chosen}
        held = held_out(named, self.settings.validation_share, self.seed)
        return [
            {
                "id": str(ids[row]),
                "row": int(row),
                "split": "val" if str(ids[row]) in held else "train",
            }
            for row in chosen
        ]

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        """Describe the states of one object."""
        from gimbal_nbv.features import FeatureCache
        from gimbal_nbv.training_data import Drawing, RowContent, rows_of

        protocol = protocol_of(self.views, self.oracle)
        oracle = read_oracle(open_rows(inputs, "oracle"), item["row"], protocol)
        noise = DepthNoise(self.oracle.depth_noise, self.seed)
        images = read_images(inputs, item["id"], noise) if self.extractor is not None else None
        drawing = Drawing(
            count=self.settings.per_object,
            seed=self.item_seed(item),
            longest=self.settings.longest,
            first=self.first_view,
        )
        content = RowContent(
            features=self.features,
            extractor=self._extractor(inputs),
            information=self.information,
        )
        cache = FeatureCache(oracle, capacity=1, images=images)
        for row in rows_of(drawing.states(oracle), cache, self._worth(inputs), content):
            yield {**row, "object_id": item["id"], "split": item["split"]}

    def _extractor(self, inputs: StageInputs) -> FeatureExtractor | None:
        if self.extractor is None:
            return None
        from gimbal_nbv.extractors import extractor_of, trained_network

        return extractor_of(self.extractor, trained_network(self.extractor, self.multiview, inputs))

    def _worth(self, inputs: StageInputs) -> Target | Worth:
        if self.settings.target != "learned_rri":
            return self.settings.target
        if self.completion is None:
            raise ConfigError(
                "states.target is learned_rri and there is no learned reconstruction",
                "add `completion: {}` to the config",
            )
        grid = protocol_of(self.views, self.oracle).grid
        folders = inputs["completion"].path, inputs["sensitivity"].path
        return _learned_worth(*folders, self.completion, grid)


@functools.lru_cache(maxsize=2)
def _learned_worth(
    completion: Path, sensitivity: Path, settings: CompletionSettings, grid: int
) -> Worth:
    """Return the blend of coverage gain and learned RRI that the gate allows at each stage."""
    from gimbal.training.checkpoints import best
    from gimbal_nbv.stages.completion import load_completion
    from gimbal_nbv.stages.sensitivity import read_lambdas
    from gimbal_nbv.view_sensitivity import blended_gains

    net = load_completion(best(completion), settings, grid)
    lambdas = read_lambdas(sensitivity)
    return lambda states: blended_gains(states, net, lambdas)
