"""Runs all checks: files of the whole set, then a closer look at samples of each split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gimbal.errors import ConfigError, GimbalError
from gimbal_multicar.checking.belonging import Fits
from gimbal_multicar.checking.borders import measure_borders
from gimbal_multicar.checking.calibration import measure_calibration
from gimbal_multicar.checking.coverage import measure_masks
from gimbal_multicar.checking.depth_checks import measure_depth
from gimbal_multicar.checking.depth_edges import edge_maps, measure_depth_edges
from gimbal_multicar.checking.distances import measure_distances
from gimbal_multicar.checking.finding import Finding
from gimbal_multicar.checking.flips import measure_flips
from gimbal_multicar.checking.focal import measure_focal
from gimbal_multicar.checking.handedness import measure_handedness
from gimbal_multicar.checking.judging import judge_all
from gimbal_multicar.checking.measures import SplitMeasures
from gimbal_multicar.checking.overlaps import measure_overlaps
from gimbal_multicar.checking.panoramas import build
from gimbal_multicar.checking.plain_images import measure_contrast
from gimbal_multicar.checking.range_checks import measure_ranges
from gimbal_multicar.checking.reach import measure_reach
from gimbal_multicar.checking.samples import CarSample, chosen_cars, read_samples
from gimbal_multicar.checking.tree import TreeScan, scan_tree
from gimbal_multicar.config import DataSettings, MulticarConfig
from gimbal_multicar.opv2v.layout import Moment
from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_vision.panoramas.model import PanoramaImage

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.reader import Opv2v

Progress = Callable[[str, int, int], None]
"""Told what is done, and how much of how much."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """All that was found.

    Attributes:
        config: Settings.
        scan: Files.
        splits: Measures by split.
        unreadable: What could not be read, to the reason.
        findings: All.
    """

    config: MulticarConfig
    scan: TreeScan
    splits: Mapping[str, SplitMeasures]
    unreadable: Mapping[str, str]
    findings: tuple[Finding, ...]


def run_checks(
    config: MulticarConfig, *, samples: int, explicit: bool, progress: Progress
) -> Checked:
    """Check a data set.

    Args:
        config: Settings; `data.root` must be set.
        samples: Moments of each split that are looked at closely.
        explicit: Whether the splits were named: then all of them must exist.
        progress: See `Progress`.

    Raises:
        ConfigError: `data.root` is no data set.
    """
    dataset = _opened(config)
    splits = config.data.splits if explicit else dataset.splits
    scan = scan_tree(
        dataset.root,
        splits,
        depth_root=config.data.depth_root,
        progress=lambda done, total: progress("files", done, total),
    )
    measures = {split: _measures(config, scan, split) for split in splits}
    unreadable: dict[str, str] = {}
    ids = {split: _chosen(dataset, split, samples, config.seed) for split in splits}
    total, done = sum(map(len, ids.values())), 0
    for split, chosen in ids.items():
        found = measures[split]
        found.moments = len(_moments(dataset, split))
        fits = Fits.of(dataset, scan)
        for sample in read_samples(dataset, chosen, unreadable):
            done += 1
            progress("samples", done, total)
            if sample is not None:
                _look(sample, found, config, unreadable)
                _look_at_edges(sample, found, fits)
        found.fits.extend(fits.close())
    findings = judge_all(config, scan, measures, unreadable)
    return Checked(
        config=config, scan=scan, splits=measures, unreadable=unreadable, findings=findings
    )


def _opened(config: MulticarConfig) -> Opv2v:
    from gimbal_multicar.fusing import open_dataset

    try:
        return open_dataset(config.data)
    except GimbalError as error:
        raise ConfigError(error.message, error.remedy) from error


def _moments(dataset: Opv2v, split: str) -> Sequence[Moment]:
    try:
        return dataset.moments(split) if split in dataset.splits else ()
    except GimbalError:
        return ()  # an empty split is a finding of its own


def _chosen(dataset: Opv2v, split: str, samples: int, seed: int) -> list[CarFrameId]:
    return chosen_cars(dataset, split, samples, seed) if _moments(dataset, split) else []


def _measures(config: MulticarConfig, scan: TreeScan, split: str) -> SplitMeasures:
    cars = tuple(
        a for a in scan.agents[split] if config.data.road_side_units or not a.is_road_side_unit
    )
    distances = measure_distances(
        cars, max_distance_m=config.loader.max_distance_m, max_cars=config.data.max_cars
    )
    return SplitMeasures(cars=cars, distances=distances)


def _look(
    sample: CarSample, found: SplitMeasures, config: MulticarConfig, unreadable: dict[str, str]
) -> None:
    """Measure one sample; what cannot be fused is noted."""
    found.sampled += 1
    found.calibration.append(measure_calibration(sample))
    found.contrasts.extend(measure_contrast(sample))
    reach = measure_reach(sample)
    if reach is not None:
        found.reaches_m.append(reach)
    points = measure_handedness(sample)
    if points is not None:
        found.handedness.append(points)
    lidar_fits = points is None or points.fits
    found.depth.append(measure_depth(sample, lidar_fits=lidar_fits))
    if lidar_fits:
        found.focal.extend(measure_focal(sample))
    borders = measure_borders(sample)
    if borders is not None:
        found.borders.append(borders)
        colours = measure_overlaps(sample) if lidar_fits else None
        found.order.append(borders if colours is None else borders + colours)
    image = _fused(sample, config.data, unreadable)
    if image is not None:
        found.masks.append(measure_masks(sample, image, config.data))
        ranges = measure_ranges(sample, image) if lidar_fits else None
        if ranges is not None:
            found.ranges.append(ranges)


def _fused(
    sample: CarSample, data: DataSettings, unreadable: dict[str, str]
) -> PanoramaImage | None:
    try:
        return build(sample, data)
    except GimbalError as error:
        unreadable[f"{sample.frame.id} panorama"] = error.message
        return None


def _look_at_edges(sample: CarSample, found: SplitMeasures, fits: Fits) -> None:
    maps = edge_maps(sample)
    if maps is not None:
        found.edges.append(measure_depth_edges(maps))
        found.flips.append(measure_flips(maps))
        fits.add(maps)
