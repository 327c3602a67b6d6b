"""Opening the samples of a run, whatever a view is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gimbal_multicar.learning.camera_samples import CameraSource, FusedCameraSource
from gimbal_multicar.learning.samples import CoopSource
from gimbal_multicar.learning.settings import SampleSettings


def open_source(
    stages: Mapping[str, Path], split: str, settings: SampleSettings, *, training: bool
) -> CoopSource:
    """Return the samples of one split.

    Args:
        stages: Folder of each finished stage, by name.
        split: `train`, `validate`, `test` or `test_culvercity`.
        settings: Which cars make a sample, and what a view is.
        training: Whether every car may be the main one; held out: the first alone.
    """
    if settings.views == "cameras":
        return CameraSource(stages["cameras"], split, settings, training=training)
    if settings.views == "fused_cameras":
        folders = stages["panoramas"], stages["cameras"]
        return FusedCameraSource(*folders, split, settings, training=training)
    return CoopSource(stages["panoramas"], split, settings, training=training)
