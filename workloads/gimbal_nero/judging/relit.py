"""How far pictures under another light are from true ones.

The protocol, which moves such numbers by decibels, so it is fixed here:

- *Pixels*: those of the true silhouette whose eight neighbours are of it too. Outline pixels show
  the light behind the object as well, and are left out; where our mesh leaves a counted pixel
  uncovered, that part is black and costs what it costs; what it covers beyond is not asked.
- *Alignment*: one factor of linear light for all pictures of the object, under all its lights, by
  least squares over counted values that the true picture does not clip (those below 255 of 255).
  Also told: no factor (`raw`), and one factor per channel (`channels`).
- *Numbers*: what is beyond white becomes white, both are 8-bit sRGB; PSNR of each picture over its
  counted pixels, SSIM as the mean of its map over them (all else black in both), LPIPS of the same
  pictures; then the mean over pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.capture import Bools, Bytes
from gimbal_nero.errors import ShapeError
from gimbal_nero.judging.alignment import ALIGNMENTS, RELIT_HEADLINE, Alignment, Fit
from gimbal_nero.judging.perceptual import mean_lpips, why_no_lpips
from gimbal_nero.judging.relit_files import RelitPicture, radiance_of, true_picture
from gimbal_nero.judging.srgb import bytes_of, linear_of
from gimbal_nero.learning.quality import SMALLEST_SIDE, psnr_db

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Silhouette = Callable[[str], Bools]
"""Name of a view to [H, W], the pixels whose centres show the true object."""

_WHITE = 255


class IncomparableError(ShapeError):
    """A picture cannot be held against its true one, though neither is damaged."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One picture and the true one.

    Attributes:
        picture: Which.
        said: [H, W, 3] linear.
        true: [H, W, 3] sRGB.
        counted: [H, W] pixels that are compared.
    """

    picture: RelitPicture
    said: Doubles
    true: Bytes
    counted: Bools

    def aligned(self, scale: Doubles) -> Bytes:
        """Return what is said, times a factor [3], as sRGB; black where it is not compared."""
        return _only(bytes_of(self.said * scale), self.counted)

    def truth(self) -> Bytes:
        """Return what is true; black where it is not compared."""
        return _only(self.true, self.counted)


def load_pair(picture: RelitPicture, silhouette: Silhouette) -> Pair:
    """Read a picture that has a true one.

    Raises:
        ShapeError: A file is damaged.
        IncomparableError: The two are of different sizes, or show nothing of the object.
    """
    if picture.true is None:
        raise ValueError("a picture without a true one cannot be compared")
    said, true = radiance_of(picture), true_picture(picture.true)
    outline = silhouette(picture.view)
    if not said.shape[:2] == true.shape[:2] == outline.shape:
        raise IncomparableError(
            f"{picture.true} is {true.shape[1]} x {true.shape[0]}, and its relit picture "
            f"{said.shape[1]} x {said.shape[0]}",
            "leave prepare.max_side and prepare.crop_to_sphere out where relit pictures are judged",
        )
    counted = inner(outline)
    if not counted.any() or min(counted.shape) < SMALLEST_SIDE:
        raise IncomparableError(
            f"view {picture.view} shows no pixel within the true outline",
            "relight views that show the object, of 8 pixels a side or more",
        )
    return Pair(picture=picture, said=said, true=true, counted=counted)


def inner(silhouette: Bools) -> Bools:
    """Return the pixels of a silhouette whose eight neighbours are of it; none at the border."""
    padded = np.pad(silhouette, 1)
    height, width = silhouette.shape
    shifted = [
        padded[row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
    ]
    return np.asarray(np.logical_and.reduce(shifted), np.bool_)


def relit_scales(
    pictures: Sequence[RelitPicture], silhouette: Silhouette
) -> Mapping[Alignment, Doubles]:
    """Return the factors [3] of each alignment, over all pictures together."""
    fit = Fit()
    for picture in pictures:
        pair = load_pair(picture, silhouette)
        true = pair.true[pair.counted]
        fit.add(pair.said[pair.counted], linear_of(true), true < _WHITE)
    return fit.scales()


def compare_relit(
    pictures: Sequence[RelitPicture],
    silhouette: Silhouette,
    show: Callable[[Pair, Bytes], None] | None = None,
) -> dict[str, Any]:
    """Return how far pictures are from their true ones; see the module for how.

    Args:
        pictures: At least one; each has a true one.
        silhouette: Of the true object.
        show: Called with each pair and ours as aligned by the headline's factor.

    Returns:
        Means over pictures: `relit_psnr` (dB, which is `relit_psnr_global`), `relit_psnr_raw`,
        `relit_psnr_channels`, `relit_ssim`, and `relit_lpips` where its weights are here;
        `relit_scale`, the headline's factor; `relit_pictures`, how many; and `relit`, the numbers
        of each by light and view.

    Raises:
        ShapeError: A file is damaged.
        IncomparableError: One is of another size, or shows nothing of the object.
    """
    scales = relit_scales(pictures, silhouette)
    each: dict[str, dict[str, float]] = {}
    shown: list[tuple[Bytes, Bytes]] = []
    perceived = why_no_lpips() is None
    for picture in pictures:
        pair = load_pair(picture, silhouette)
        ours = pair.aligned(scales[RELIT_HEADLINE])
        each[f"{picture.light}/{picture.view}"] = _numbers(pair, scales)
        if perceived:
            shown.append((ours, pair.truth()))
        if show is not None:
            show(pair, ours)
    names = next(iter(each.values()))
    means = {name: float(np.mean([one[name] for one in each.values()])) for name in names}
    return {
        "relit_psnr": means[f"relit_psnr_{RELIT_HEADLINE}"],
        **means,
        **({"relit_lpips": mean_lpips(shown)} if shown else {}),
        "relit_scale": float(scales[RELIT_HEADLINE][0]),
        "relit_pictures": len(each),
        "relit": each,
    }


def _numbers(pair: Pair, scales: Mapping[Alignment, Doubles]) -> dict[str, float]:
    true = pair.truth()
    said = {name: pair.aligned(scales[name]) for name in ALIGNMENTS}
    found = {
        f"relit_psnr_{name}": psnr_db(said[name][pair.counted], true[pair.counted])
        for name in ALIGNMENTS
    }
    return {**found, "relit_ssim": _ssim(said[RELIT_HEADLINE], true, pair.counted)}


def _ssim(said: Bytes, true: Bytes, counted: Bools) -> float:
    from skimage import metrics

    compare: Any = metrics.structural_similarity
    _, similar = compare(
        said, true, channel_axis=2, data_range=_WHITE, win_size=SMALLEST_SIDE, full=True
    )
    return float(similar[counted].mean())


def _only(picture: Bytes, counted: Bools) -> Bytes:
    return np.where(counted[..., None], picture, np.uint8(0))
