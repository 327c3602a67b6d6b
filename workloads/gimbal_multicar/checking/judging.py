"""All findings of a data set, from the files down to the loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np

from gimbal_multicar.checking.belonging import NAME as BELONGING
from gimbal_multicar.checking.belonging import judge_belonging
from gimbal_multicar.checking.calibration import FIXED, judge_calibration
from gimbal_multicar.checking.cars_checks import judge_cars
from gimbal_multicar.checking.coverage import judge_coverage, judge_masks
from gimbal_multicar.checking.depth_checks import NAME as AGAINST_LIDAR
from gimbal_multicar.checking.depth_checks import ORDER, judge_depth
from gimbal_multicar.checking.distances import judge_distances
from gimbal_multicar.checking.extrinsics import compare, judge_extrinsics, together
from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.flips import judge_flips
from gimbal_multicar.checking.focal import judge_focal
from gimbal_multicar.checking.handedness import judge_handedness
from gimbal_multicar.checking.loader import EpochPlan, judge_loader, plan_epoch
from gimbal_multicar.checking.measures import SplitMeasures
from gimbal_multicar.checking.placement import judge_placement
from gimbal_multicar.checking.plain_images import judge_contrast
from gimbal_multicar.checking.range_checks import NAME as RANGES
from gimbal_multicar.checking.range_checks import judge_ranges
from gimbal_multicar.checking.tree import TreeScan
from gimbal_multicar.checking.tree_checks import judge_files
from gimbal_multicar.checking.world_checks import judge_world
from gimbal_multicar.config import LoaderSettings, MulticarConfig

_T = TypeVar("_T")

NOMINAL_BASELINE_M = 4.5
"""Front to rear camera of OPV2V, where no sample tells."""

_IMAGES = "rename the images (or exchange the calibration of these cameras)"
_DEPTHS = "rename the depth files"


def judge_all(
    config: MulticarConfig,
    scan: TreeScan,
    splits: Mapping[str, SplitMeasures],
    unreadable: Mapping[str, str],
) -> tuple[Finding, ...]:
    """Return all findings, in the order in which they should be mended."""
    return (
        *judge_files(scan),
        *judge_cars(
            scan, road_side_units=config.data.road_side_units, max_cars=config.data.max_cars
        ),
        _readable(splits, unreadable),
        _extrinsic(scan, splits),
        *judge_world(scan, _all(splits, lambda m: m.reaches_m)),
        judge_contrast(_all(splits, lambda m: m.contrasts)),
        *_samples(config, splits),
        *(
            judge_distances(found.distances, split, camera_baseline_m(splits))
            for split, found in splits.items()
        ),
        *_loaders(config.loader, splits),
    )


def _extrinsic(scan: TreeScan, splits: Mapping[str, SplitMeasures]) -> Finding:
    """Judge every file; the samples only where no file's text gives plain numbers."""
    found = together([a.extrinsics for a in scan.all])
    if not found.cameras:
        found = compare([m.extrinsics for m in _all(splits, lambda m: m.calibration)])
    return judge_extrinsics(found)


def _samples(config: MulticarConfig, splits: Mapping[str, SplitMeasures]) -> Iterator[Finding]:
    """Give what the samples of all splits tell together, and of each its masks."""
    calibration = _all(splits, lambda m: m.calibration)
    masks = _all(splits, lambda m: m.masks)
    posed = True
    if calibration:
        size = config.data.panorama.height, config.data.panorama.width
        findings = judge_calibration(calibration, size)
        posed = all(f.name != FIXED or f.status is not Status.FAIL for f in findings)
        yield from findings
    if masks:
        yield from judge_coverage(masks, config.data)
    for split, found in splits.items():
        if found.masks:
            yield from judge_masks(found.masks, split)
    yield from _orders(splits, posed=posed)
    yield from judge_handedness(_all(splits, lambda m: m.handedness))
    depth = list(_depth(splits, posed=posed))
    yield from depth
    yield _ranges(config, splits, [f.name for f in depth if f.status is Status.FAIL], posed=posed)


def _ranges(
    config: MulticarConfig,
    splits: Mapping[str, SplitMeasures],
    failed: Sequence[str],
    *,
    posed: bool,
) -> Finding:
    """Judge what poses and depth make of the ranges, where both are right."""
    first = failed[0] if posed and failed else FIXED
    if failed or not posed:
        return cannot_tell(RANGES, f"mend '{first}' first")
    return judge_ranges(_all(splits, lambda m: m.ranges), config.data.panorama.warp)


def _orders(splits: Mapping[str, SplitMeasures], *, posed: bool) -> Iterator[Finding]:
    """Give whose images they are; only where they bear the right names and are not mirrored."""
    findings = list(_names(splits, posed=posed))
    yield from findings
    failed = [f.name for f in findings if f.status is Status.FAIL]
    if failed:
        yield cannot_tell(BELONGING, f"mend '{failed[0]}' first")
    else:
        yield judge_belonging(_all(splits, lambda m: m.fits))


def _names(splits: Mapping[str, SplitMeasures], *, posed: bool) -> Iterator[Finding]:
    """Give whether images bear the right names; by borders only where poses are right."""
    name = "cameras in place"
    flips = judge_flips(_all(splits, lambda m: m.flips))
    yield flips
    if flips.status is Status.FAIL:
        yield cannot_tell("images against depth files", f"mend '{flips.name}' first")
        yield cannot_tell(name, f"mend '{flips.name}' first")
        return
    if _has_depth_files(splits):
        edges = _all(splits, lambda m: m.edges)
        yield judge_placement(edges, "images against depth files", "images", _IMAGES).finding
    if posed:
        order = _all(splits, lambda m: m.order)
        yield judge_placement(order, name, "images", _IMAGES).finding
    else:
        yield cannot_tell(name, f"the cameras' poses are wrong: mend '{FIXED}' first")


def _depth(splits: Mapping[str, SplitMeasures], *, posed: bool) -> Iterator[Finding]:
    """Give whether depth files bear the right names, and whether the rest are z-depth in metres."""
    if not posed:
        yield cannot_tell(AGAINST_LIDAR, f"mend '{FIXED}' first")
        return
    depth = _all(splits, lambda m: m.depth)
    misplaced: frozenset[str] = frozenset()
    if _has_depth_files(splits):
        orders = [m.order for m in depth if m.order is not None]
        placement = judge_placement(orders, ORDER, "depth files", _DEPTHS)
        misplaced = placement.misplaced
        yield placement.finding
    density = float(np.mean([m.density for m in depth])) if depth else 0.0
    yield from judge_depth(depth, density, misplaced)
    yield judge_focal(_all(splits, lambda m: m.focal))


def _has_depth_files(splits: Mapping[str, SplitMeasures]) -> bool:
    return any(m.source in ("npy", "opv2v_h") for m in _all(splits, lambda m: m.depth))


def _all(
    splits: Mapping[str, SplitMeasures], kind: Callable[[SplitMeasures], list[_T]]
) -> list[_T]:
    return list(chain.from_iterable(kind(found) for found in splits.values()))


def _readable(splits: Mapping[str, SplitMeasures], unreadable: Mapping[str, str]) -> Finding:
    name = "samples readable"
    sampled = sum(found.sampled for found in splits.values())
    if not unreadable:
        return ok(name, sampled) if sampled else cannot_tell(name, "there is none to look at")
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{len(unreadable)} things that {sampled} samples need",
        expected="none",
        cause="files that cannot be read or do not fit: " + next(iter(unreadable.values())),
        hint="copy or download them again",
        where=shortened(f"{place}: {words}" for place, words in unreadable.items()),
        count=len(unreadable),
    )


def camera_baseline_m(splits: Mapping[str, SplitMeasures]) -> float:
    """Return the largest distance of two cameras of one car."""
    for found in splits.values():
        for m in found.calibration:
            xyz = m.world_from_cameras[:, :3, 3]
            if len(xyz) > 1:
                return float(np.linalg.norm(xyz[:, None] - xyz, axis=-1).max())
    return NOMINAL_BASELINE_M


def split_plan(settings: LoaderSettings, found: SplitMeasures) -> EpochPlan:
    """Return the epoch of one split; its samples are moments with enough cars near."""
    counted = found.distances.moments_with(min(settings.num_views))
    return plan_epoch(
        settings.samples_per_epoch or counted,
        views=settings.num_views,
        max_images=settings.max_images_per_worker,
        world_size=settings.world_size,
    )


def _loaders(settings: LoaderSettings, splits: Mapping[str, SplitMeasures]) -> Iterator[Finding]:
    for split, found in splits.items():
        if not found.cars:
            continue
        near = {nv: found.distances.moments_with(nv) for nv in settings.num_views}
        yield from judge_loader(
            split_plan(settings, found), near, split, max_images=settings.max_images_per_worker
        )
