"""What a policy that looks through tokens sees of a state: its views' images as tokens.

Tokens are rounded to half precision where they are made, in training rows and in rollouts alike, so
that a policy meets in a rollout exactly what it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.protocol import SphereProtocol, first_frames
from gimbal_nbv.states import States

if TYPE_CHECKING:
    from gimbal_nbv.tokens.extractor import FeatureExtractor

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
