"""Names for wrong numbers: which mistake makes a coverage look like that.

Mistakes are computed from the calibration at hand, never taken from a table of absolute bands: the
coverage after the source's crop, of the rig without one camera or without several, at another
vertical angle of view. `LEGACY` alone is absolute: figures of the source's notes that people will
look up, with what was really behind them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from gimbal_multicar.data_settings import PanoramaSettings
from gimbal_multicar.fusing import panorama_camera
from gimbal_vision.panoramas.coverage import expected_coverage
from gimbal_vision.panoramas.legacy import legacy_crop_rig
from gimbal_vision.panoramas.rig import Rig

NEAR = 0.006
"""Coverages closer than this are taken for the same: a third of what the crop's own jitter does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """A number that a known mistake makes.

    Attributes:
        coverage: Share of the panorama that is covered.
        cause: The mistake.
        hint: What to do about it.
    """

    coverage: float
    cause: str
    hint: str


LEGACY = (
    Signature(
        coverage=0.331,
        cause="the source's crop: images scaled and centre-cropped to the panorama's shape "
        "(validation of its notes: 'normal' .331)",
        hint="use uncropped images; 61 % of the panorama is thrown away",
    ),
    Signature(
        coverage=0.328,
        cause="the source's crop with its 16 px jitter (training of its notes: .328 to .329)",
        hint="use uncropped images; 61 % of the panorama is thrown away",
    ),
    Signature(
        coverage=0.266,
        cause="the source's crop, on a true cylinder of 90 degrees",
        hint="use uncropped images",
    ),
)


def computed_signatures(
    rig: Rig, settings: PanoramaSettings, present: Collection[str] = ()
) -> Iterator[Signature]:
    """Yield what mistakes would make of this very rig and panorama, likeliest first.

    Args:
        rig: The cameras as calibrated, whole.
        settings: The panorama.
        present: Cameras that are known to be there; none: any may be missing.
    """
    camera = panorama_camera(settings)
    least = settings.view_selection_margin
    yield Signature(
        coverage=expected_coverage(
            legacy_crop_rig(rig, camera.height, camera.width), camera, least
        ),
        cause="the source's crop: images were scaled and centre-cropped to the panorama's shape "
        f"{camera.width} x {camera.height} before they were fused",
        hint="use uncropped images",
    )
    doubtful = [name for name in rig.names if name not in present]
    for missing in range(1, min(len(doubtful), len(rig.names) - 1) + 1):
        for names in combinations(doubtful, missing):
            rest = rig.only(set(rig.names) - set(names))
            yield Signature(
                coverage=expected_coverage(rest, camera, least),
                cause=f"{_listed(names)} missing",
                hint="restore its images, or leave the car out",
            )
    yield from _other_angles(rig, settings)


def _other_angles(rig: Rig, settings: PanoramaSettings) -> Iterator[Signature]:
    for angle in (60.0, 70.0, 80.0, 90.0, 100.0, 120.0, 180.0):
        if angle == settings.vfov_deg or (angle == 180.0 and settings.vfov_deg is None):
            continue
        if settings.camera_model == "cylindrical" and angle == 180.0:
            continue
        camera = panorama_camera(replace_vfov(settings, angle))
        meant = f", not {settings.vfov_deg:g}" if settings.vfov_deg else ""
        yield Signature(
            coverage=expected_coverage(rig, camera, settings.view_selection_margin),
            cause=f"panoramas were made with a vertical angle of view of {angle:g} degrees{meant}",
            hint="set data.panorama.vfov_deg to what was used",
        )


def replace_vfov(settings: PanoramaSettings, vfov_deg: float) -> PanoramaSettings:
    """Return settings with another vertical angle of view."""
    return settings.model_copy(update={"vfov_deg": vfov_deg})


def name_cause(
    coverage: float, rig: Rig, settings: PanoramaSettings, present: Collection[str] = ()
) -> Signature | None:
    """Return the mistake whose coverage is nearest, none where all are farther than `NEAR`.

    Args:
        coverage: As measured.
        rig: The cameras as calibrated, whole.
        settings: The panorama.
        present: Cameras that are known to be there; none: any may be missing.
    """
    found = [
        s for s in computed_signatures(rig, settings, present) if abs(s.coverage - coverage) <= NEAR
    ]
    if not found:
        found = [s for s in LEGACY if abs(s.coverage - coverage) <= 0.002]
    if not found:
        return None
    best = min(found, key=lambda s: round(abs(s.coverage - coverage), 3))
    alike = [s.cause for s in found if abs(s.coverage - best.coverage) < 1e-3 and s is not best]
    return replace(best, cause=" or ".join([best.cause, *alike[:3]]))


def _listed(names: tuple[str, ...]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
