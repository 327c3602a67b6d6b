"""Which feature extractors there are, and where the network of a trained one lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gimbal.experiment.stage import StageInputs
from gimbal_nbv.errors import PolicyError
from gimbal_nbv.multiview.settings import MultiviewSettings

if TYPE_CHECKING:
    from gimbal_nbv.tokens.extractor import FeatureExtractor, TokenFormat

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """Where the network of a trained extractor lies.

    Attributes:
        folder: The finished stage `multiview`.
        settings: What it was trained with.
    """

    folder: Path
    settings: MultiviewSettings


def trained_network(
    name: str, multiview: MultiviewSettings | None, inputs: StageInputs
) -> TrainedNetwork | None:
    """Return the network of an extractor from the stages of a run; None where it needs none.

    Args:
        name: The extractor.
        multiview: Settings of the multi-view model, where there is one.
        inputs: Finished stages, `multiview` among them where it is the extractor.
    """
    if name != "multiview" or multiview is None or "multiview" not in inputs:
        return None
    return TrainedNetwork(folder=inputs["multiview"].path, settings=multiview)


def format_of(name: str, multiview: MultiviewSettings | None = None) -> TokenFormat:
    """Return what the tokens of a config's `model.extractor` are like; no network is needed.

    Args:
        name: The extractor.
        multiview: The settings of the multi-view model, where it is the extractor.

    Raises:
        PolicyError: There is none of that name, or its settings are missing.
    """
    if name == "multiview":
        from gimbal_nbv.tokens.multiview import MultiviewFormat

        return MultiviewFormat(_required(multiview))
    return extractor_of(name)


@cache
def extractor_of(name: str, trained: TrainedNetwork | None = None) -> FeatureExtractor:
    """Return the extractor of a config's `model.extractor`.

    Args:
        name: The extractor.
        trained: Its network, where it needs one.

    Raises:
        PolicyError: There is none of that name, or its network is missing.
        StorageError: The network's checkpoint is damaged.
    """
    if name == "pointmap":
        from gimbal_nbv.tokens.pointmap import PointmapExtractor

        return PointmapExtractor()
    if name == "multiview":
        from gimbal_nbv.stages.multiview import load_multiview
        from gimbal_nbv.tokens.multiview import MultiviewExtractor

        network = _required(trained)
        model = load_multiview(network.folder, network.settings)
        return MultiviewExtractor(network.settings, model)
    raise PolicyError(
        f"there is no feature extractor {name!r}",
        "set model.extractor to one of: multiview, pointmap",
    )


def _required(part: T | None) -> T:
    if part is None:
        raise PolicyError(
            "extractor multiview reads tokens of a trained network, and there is none",
            "give it the stage `multiview` of the run and that stage's settings",
        )
    return part
