"""What a rig should cover of its panorama, and what panoramas made from the files do cover.

What should be covered comes from calibration alone, by the half-space test of
`gimbal_vision.panoramas.coverage`; what is covered comes from building panoramas from the images as
they are on disk. An image that was cropped and a camera that is missing show as a difference, and
the size of the difference tells which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, ok, shortened
from gimbal_multicar.checking.samples import CarSample
from gimbal_multicar.checking.signatures import name_cause
from gimbal_multicar.data_settings import DataSettings
from gimbal_multicar.fusing import panorama_camera
from gimbal_vision.cameras import Panorama
from gimbal_vision.panoramas.coverage import expected_coverage
from gimbal_vision.panoramas.legacy import legacy_crop_rig
from gimbal_vision.panoramas.model import PanoramaImage
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.seams import image_steps

MAX_DIFFERENCE = 0.01
"""Four times what rounding to whole pixels makes of a panorama 100 pixels wide."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskMeasure:
    """One car's panorama in shares of its pixels.

    Attributes:
        place: `split/scenario/agent`.
        rig: The cameras as calibrated, all of them.
        present: Those that have an image.
        camera_model: The panorama's.
        size: Its height and width.
        expected: Coverage by calibration.
        coverage: Share that some image covers.
        non_ambiguous: Share that is covered and no sky.
        valid: Share whose range is known.
        moved_share: See `PanoramaImage`.
        seam_steps: Mean differences of neighbouring pixels, of 255: across the cameras' borders,
            and beside them.
    """

    place: str
    rig: Rig
    present: tuple[str, ...]
    camera_model: str
    size: tuple[int, int]
    expected: float
    coverage: float
    non_ambiguous: float
    valid: float
    moved_share: float
    seam_steps: tuple[float, float]


def measure_masks(sample: CarSample, image: PanoramaImage, data: DataSettings) -> MaskMeasure:
    """Return the shares of one panorama.

    Args:
        sample: What it was made of.
        image: The panorama.
        data: Settings; the source's crop applies to calibration too where it is asked for.
    """
    return MaskMeasure(
        place=sample.place,
        rig=sample.rig,
        present=tuple(sample.images),
        camera_model=image.camera.camera_model,
        size=(image.camera.height, image.camera.width),
        expected=coverage_by_calibration(sample.rig, data),
        coverage=float(image.coverage.mean()),
        non_ambiguous=float(image.non_ambiguous.mean()),
        valid=float(image.valid.mean()),
        moved_share=image.moved_share,
        seam_steps=image_steps(image),
    )


def coverage_by_calibration(rig: Rig, data: DataSettings) -> float:
    """Return the share of a panorama that a whole rig sees, by the half-space test."""
    camera = panorama_camera(data.panorama)
    used = legacy_crop_rig(rig, camera.height, camera.width) if data.legacy_crop else rig
    return _expected(_Case(used.digest, camera, data.panorama.view_selection_margin, used))


@dataclass(frozen=True)
class _Case:
    digest: str
    camera: Panorama
    margin: float
    rig: Rig = field(compare=False)


@lru_cache(maxsize=64)
def _expected(case: _Case) -> float:
    return expected_coverage(case.rig, case.camera, case.margin)


def judge_coverage(measures: Sequence[MaskMeasure], data: DataSettings) -> tuple[Finding, ...]:
    """Return whether panoramas cover what their calibration promises, and what that is."""
    return _promise(measures, data), _kept(measures, data)


def _promise(measures: Sequence[MaskMeasure], data: DataSettings) -> Finding:
    name = "expected coverage"
    promised = float(np.mean([m.expected for m in measures]))
    p = data.panorama
    what = f"{p.camera_model} {p.width}x{p.height}" + (
        f", {p.vfov_deg:g} degrees" if p.vfov_deg else ""
    )
    if data.legacy_crop:
        return Finding(
            name=name, status=Status.WARN, measured=f"{promised:.3f} ({what})",
            cause="legacy_crop reproduces the source's bug: most of the panorama is thrown away",
            hint="use it to compare with the source's figures only",
        )  # fmt: skip
    hint = "" if promised > 0.99 else "a smaller data.panorama.vfov_deg leaves fewer empty rows"
    return ok(name, f"{promised:.3f} ({what})", hint=hint)


def _kept(measures: Sequence[MaskMeasure], data: DataSettings) -> Finding:
    name = "coverage"
    mean = float(np.mean([m.coverage for m in measures]))
    promised = float(np.mean([m.expected for m in measures]))
    off = [m for m in measures if abs(m.coverage - m.expected) > MAX_DIFFERENCE]
    if not off:
        return ok(name, f"{mean:.3f}", f"{promised:.3f}")
    worst = max(off, key=lambda m: abs(m.coverage - m.expected))
    known = name_cause(worst.coverage, worst.rig, data.panorama, worst.present)
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{worst.coverage:.3f} in {worst.place}; mean {mean:.3f}",
        expected=f"{worst.expected:.3f}, from calibration",
        cause=known.cause if known else "images were cropped or scaled, their intrinsics were not",
        hint=known.hint if known else "compare image sizes with the intrinsics",
        where=shortened({m.place for m in off}),
        count=len({m.place for m in off}),
    )


def mask_numbers(measures: Sequence[MaskMeasure]) -> dict[str, Any]:
    """Return the shares of a split's panoramas: least, mean, most."""
    if not measures:
        return {}
    non_ambiguous = np.array([m.non_ambiguous for m in measures])
    positive = float(non_ambiguous.mean())
    return {
        "coverage": _range([m.coverage for m in measures]),
        "expected_coverage": float(np.mean([m.expected for m in measures])),
        "non_ambiguous": _range(non_ambiguous),
        "valid": _range([m.valid for m in measures]),
        "positive_share": positive,
        "negatives_per_positive": (1.0 - positive) / positive if positive else None,
        "constant_guess_bce": _entropy(positive),
        "moved_share": float(np.mean([m.moved_share for m in measures])),
        "resolution": [list(size) for size in sorted({m.size for m in measures})],
        "camera_models": sorted({m.camera_model for m in measures}),
    }


def judge_masks(measures: Sequence[MaskMeasure], split: str) -> tuple[Finding, ...]:
    """Return whether a split's masks leave something to learn from, relative to its coverage."""
    kept = sum(m.non_ambiguous for m in measures) / max(1e-9, sum(m.coverage for m in measures))
    least = min(measures, key=lambda m: m.non_ambiguous / max(1e-9, m.expected))
    share = least.non_ambiguous / max(1e-9, least.expected)
    return (_rare(least, share, kept, split), _models(measures, split))


def _rare(least: MaskMeasure, share: float, kept: float, split: str) -> Finding:
    name = f"non-ambiguous pixels ({split})"
    measured = f"{kept:.1%} of what is covered, at least {share:.1%}"
    if share > 0.05:
        return ok(name, measured)
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=measured,
        expected="a fair part of what the calibration covers",
        cause="nearly everything counts as sky: depth in a wrong unit, or no image at all",
        hint="look at one: gimbal multicar preview; see also 'depth against LiDAR'",
        where=(least.place,),
        count=1,
    )


def _models(measures: Sequence[MaskMeasure], split: str) -> Finding:
    name = f"camera models ({split})"
    models = sorted({m.camera_model for m in measures})
    sizes = sorted({m.size for m in measures})
    words = ", ".join(models) + " " + ", ".join(f"{w}x{h}" for h, w in sizes)
    if len(models) == len(sizes) == 1:
        return ok(name, words)
    return Finding(
        name=name, status=Status.FAIL, measured=words, expected="one", cause="mixed panoramas"
    )


def _range(values: Any) -> dict[str, float]:
    v = np.asarray(values, np.float64)
    return {"min": float(v.min()), "mean": float(v.mean()), "max": float(v.max())}


def _entropy(p: float) -> float:
    """Return the lowest mean BCE that a constant answer reaches; less means that it is learnt."""
    if not 0.0 < p < 1.0:
        return 0.0
    return float(-p * np.log(p) - (1.0 - p) * np.log(1.0 - p))
