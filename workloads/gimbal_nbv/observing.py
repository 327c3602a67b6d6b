"""What a policy that looks through tokens sees of a state: its views' images as tokens.

Tokens are rounded to half precision where they are made, in training rows and in rollouts alike, so
that a policy meets in a rollout exactly what it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from gimbal.experiment.stage import StageInputs
from gimbal_nbv.errors import PolicyError
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.protocol import SphereProtocol, first_frames
from gimbal_nbv.states import States

if TYPE_CHECKING:
    from gimbal_nbv.tokens.extractor import FeatureExtractor, TokenFormat

T = TypeVar("T")
Half = NDArray[np.float16]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewImages:
    """The images of all M candidates of one object.

    Attributes:
        depth: z-depth [M,H,W] in diagonals, 0 where nothing was hit.
        cam2world: Declared poses [M,4,4].
        K: Intrinsics [M,3,3] in pixels.
        rgb: sRGB uint8 [M,H,W,3], or None.
    """

    depth: NDArray[np.float32]
    cam2world: NDArray[np.floating]
    K: NDArray[np.floating]
    rgb: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, depth: NDArray[np.float32], protocol: SphereProtocol) -> ViewImages:
        """Take depth images from the protocol's own cameras."""
        cameras = protocol.cameras_of(depth.shape[1])
        return cls(depth=depth, cam2world=cameras.cam2world, K=cameras.K)


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


def token_rows(states: States, images: ViewImages, extractor: FeatureExtractor) -> Half:
    """Return the tokens of each state's views, float16 [B,K,P,D]; absent views are zero."""
    import torch

    size = images.depth.shape[1]
    shape = (*states.sets.shape, extractor.tokens_per_view(size), extractor.dim)
    tokens = np.zeros(shape, np.float16)
    counts = states.counts
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        sets = states.sets[rows, :count]
        with torch.no_grad():
            found = extractor.extract(
                None if images.rgb is None else torch.from_numpy(images.rgb[sets]),
                torch.from_numpy(np.ascontiguousarray(images.depth[sets])),
                torch.from_numpy(images.cam2world[sets].astype(np.float32)),
                torch.from_numpy(images.K[sets].astype(np.float32)),
            )
        tokens[rows, :count] = found.cpu().numpy().astype(np.float16)
    return tokens


@dataclass(frozen=True, eq=False, kw_only=True)
class Geometry:
    """Where the views and candidates of states stand, in the frame of each first view.

    Attributes:
        present: bool [B,K], which columns hold a view.
        view_directions: float32 [B,K,3], unit vectors to the cameras; zero where absent.
        candidates: float32 [B,M,3].
    """

    present: NDArray[np.bool_]
    view_directions: Floats
    candidates: Floats


def geometry_of(sets: NDArray[np.int32], protocol: SphereProtocol) -> Geometry:
    """Describe view sets [B,K], -1 where a set is shorter."""
    frames = first_frames(protocol, sets[:, 0])
    candidates = (protocol.directions @ frames).astype(np.float32)
    present = sets >= 0
    rows = np.arange(len(sets))[:, None]
    return Geometry(
        present=present,
        view_directions=np.where(present[..., None], candidates[rows, sets], np.float32(0)),
        candidates=candidates,
    )
