"""What a policy looks through: images, depth and cameras in, tokens out.

The tokens of a set of views are in the frame of its first view, so that turning the world changes
nothing. How many numbers a token has is the extractor's to say, never a constant of a policy: the
same network family has 768 in one release and 1536 in the next.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class TokenFormat(Protocol):
    """What the tokens of an extractor are like; known before a network is trained."""

    @property
    def name(self) -> str:
        """Name in configs and tables."""
        ...

    @property
    def dim(self) -> int:
        """Numbers D of a token."""
        ...

    @property
    def has_points(self) -> bool:
        """Whether a token's first six numbers are its patch's mean point and mean normal.

        A normal of zero says that no orientation was measured; pooling then leaves the point out.
        """
        ...

    @property
    def vectors(self) -> tuple[int, ...]:
        """Where further 3-vectors of the first view's frame begin in a token."""
        ...

    def tokens_per_view(self, image_size: int) -> int:
        """Return how many tokens P a square image gives.

        Args:
            image_size: Height and width in pixels.
        """
        ...


class FeatureExtractor(TokenFormat, Protocol):
    """A frozen network, or a formula, that describes views."""

    def extract(
        self, images: Tensor | None, depths: Tensor, poses: Tensor, intrinsics: Tensor
    ) -> Tensor:
        """Return tokens [B,N,P,D] float32, in the frame of each set's first view.

        Args:
            images: sRGB uint8 [B,N,H,W,3], or None where an extractor needs none.
            depths: z-depth [B,N,H,W] in world units, 0 where nothing was hit.
            poses: cam2world [B,N,4,4], OpenCV axes.
            intrinsics: [B,N,3,3] in pixels, pixel centres at +.5.
        """
        ...
