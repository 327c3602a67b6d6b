"""Which views the shape cannot agree with: wrong poses and exposure that differs (R032).

A shape that many views agree on renders a view with a wrong pose or another exposure worse than the
rest. The two are told apart: a factor of brightness is fitted first and is the exposure; what is
left after it may be the pose, which `pose_search` then tries elsewhere. The photograph is brought
to the shape's brightness and not the other way round, so that errors of dark views do not count
less.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nero.learning.quality import psnr_db
from gimbal_nero.learning.rays import MASK_UNKNOWN
from gimbal_nero.watching.choosing import Sample
from gimbal_nero.watching.colours import encoded_srgb, linear_light
from gimbal_nero.watching.rendering import Array, Floats, Seen
from gimbal_nero.watching.settings import POSE_GAIN_DB

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_DARKEST = 1e-4


def view_numbers(seen: Seen, sample: Sample) -> list[dict[str, Any]]:
    """Return the numbers of each view.

    Returns:
        `name`; `psnr`: of its pixels in decibels; `exposure_ev`: stops by which the photograph is
        brighter than the shape says; `gap_db`: after that is taken out, how much worse than the
        median view it is explained; `outline_miss`: share of its masked pixels at which opacity
        and mask disagree, None without a mask. A rough shape renders all views badly, but its
        outline is right early, so that tells a wrong pose sooner.
    """
    found: list[dict[str, Any]] = []
    for number, name in enumerate(sample.names):
        chosen = sample.rays["view"] == number
        said, true = np.clip(seen.colour[chosen], 0, 1), sample.rays["rgb"][chosen]
        stops = _stops(true) - _stops(said)
        corrected = encoded_srgb(linear_light(true) * 2.0**-stops)
        found.append(
            {
                "name": name,
                "psnr": _psnr(said, true),
                "exposure_ev": stops,
                "explained_db": _psnr(said, corrected),
                "outline_miss": _outline_miss(seen.opacity[chosen], sample.rays["mask"][chosen]),
            }
        )
    middle = float(np.median([view["explained_db"] for view in found]))
    return [view | {"gap_db": middle - view.pop("explained_db")} for view in found]


def agreement_numbers(views: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how far views differ.

    Args:
        views: See `view_numbers`, in the order in which they were taken; those whose poses were
            tried elsewhere have `pose_gain_db` as well.

    Returns:
        `psnr`: mean over views; `worst_gap_db`; `pose_gain_db`: the largest, 0 where none was
        tried; `wrong_poses`: views beyond `POSE_GAIN_DB`;
        `exposure_spread_ev`: standard deviation; `exposure_drift_ev`: trend from the first view
        to the last, without its sign; `outline_gap`: how much larger the largest `outline_miss`
        is than the median one, 0 without masks.
    """
    stops = np.array([view["exposure_ev"] for view in views])
    order = np.linspace(-0.5, 0.5, len(views))
    trend = order @ (stops - stops.mean()) / max(order @ order, 1e-12)
    gaps = [view["gap_db"] for view in views]
    gains = [view["pose_gain_db"] for view in views if "pose_gain_db" in view]
    outlines = [view["outline_miss"] for view in views if view["outline_miss"] is not None]
    return {
        "psnr": float(np.mean([view["psnr"] for view in views])),
        "worst_gap_db": float(max(gaps)),
        "pose_gain_db": float(max(gains, default=0.0)),
        "wrong_poses": sum(gain > POSE_GAIN_DB for gain in gains),
        "outline_gap": float(max(outlines) - np.median(outlines)) if outlines else 0.0,
        "exposure_spread_ev": float(stops.std()),
        "exposure_drift_ev": float(abs(trend)),
    }


def _psnr(said: Array, true: Array) -> float:
    whole = [np.rint(np.clip(part, 0, 1) * 255).astype(np.uint8) for part in (said, true)]
    return psnr_db(*whole)


def _outline_miss(opacity: Floats, mask: Array) -> float | None:
    known = mask != MASK_UNKNOWN
    if not known.any():
        return None
    return float(((opacity[known] >= 0.5) != (mask[known] == 1)).mean())


def _stops(srgb: Array) -> float:
    return float(np.log2(max(float((linear_light(srgb) @ _LUMINANCE).mean()), _DARKEST)))
