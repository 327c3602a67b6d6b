"""What was measured of a data set, before anything is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from gimbal_multicar.checking.belonging import Fit
from gimbal_multicar.checking.calibration import CalibrationMeasure
from gimbal_multicar.checking.coverage import MaskMeasure
from gimbal_multicar.checking.depth_checks import DepthMeasure
from gimbal_multicar.checking.distances import SplitDistances
from gimbal_multicar.checking.flips import FlipFits
from gimbal_multicar.checking.focal import FocalMeasure
from gimbal_multicar.checking.handedness import HandednessMeasure
from gimbal_multicar.checking.placement import OrderCosts
from gimbal_multicar.checking.plain_images import Contrast
from gimbal_multicar.checking.range_checks import RangeMeasure
from gimbal_multicar.checking.tree import AgentFiles


@dataclass(kw_only=True)
class SplitMeasures:
    """What was measured of a split.

    Attributes:
        cars: All its cars.
        distances: Of all its moments.
        moments: How many there are.
        sampled: How many car-frames were looked at.
        calibration: Of each sample.
        masks: Of each panorama.
        borders: What neighbours' borders say of the images' order.
        order: The same, and what the LiDAR's points say where cameras overlap.
        edges: What depth files say of the images' order.
        depth: Depth beside LiDAR.
        focal: Depth beside LiDAR at other focal lengths.
        handedness: Boxes beside LiDAR.
        reaches_m: How far the points of each sample reach.
        ranges: Of each panorama, beside LiDAR.
        contrasts: How much each image varies.
        flips: How flipped images of each sample would fit its depth files.
        fits: Whose depth files the images of each sample fit.
    """

    cars: tuple[AgentFiles, ...]
    distances: SplitDistances
    moments: int = 0
    sampled: int = 0
    calibration: list[CalibrationMeasure] = field(default_factory=list)
    masks: list[MaskMeasure] = field(default_factory=list)
    borders: list[OrderCosts] = field(default_factory=list)
    order: list[OrderCosts] = field(default_factory=list)
    edges: list[OrderCosts] = field(default_factory=list)
    depth: list[DepthMeasure] = field(default_factory=list)
    focal: list[FocalMeasure] = field(default_factory=list)
    handedness: list[HandednessMeasure] = field(default_factory=list)
    reaches_m: list[float] = field(default_factory=list)
    ranges: list[RangeMeasure] = field(default_factory=list)
    contrasts: list[Contrast] = field(default_factory=list)
    flips: list[FlipFits] = field(default_factory=list)
    fits: list[Fit] = field(default_factory=list)
