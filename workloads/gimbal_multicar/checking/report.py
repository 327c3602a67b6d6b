"""What was checked as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from gimbal_multicar.checking.coverage import mask_numbers
from gimbal_multicar.checking.finding import Finding, Status, verdict_of
from gimbal_multicar.checking.handedness import AS_READ, MIRRORED, total_hits
from gimbal_multicar.checking.judging import split_plan
from gimbal_multicar.checking.loader import samples_for
from gimbal_multicar.checking.measures import SplitMeasures
from gimbal_multicar.checking.runner import Checked
from gimbal_multicar.data_settings import LoaderSettings


def report_of(checked: Checked) -> dict[str, Any]:
    """Return one JSON object."""
    splits = checked.splits
    masks = [m for found in splits.values() for m in found.masks]
    findings = checked.findings
    return {
        "root": str(checked.scan.root),
        "panorama": checked.config.data.panorama.model_dump(mode="json"),
        "legacy_crop": checked.config.data.legacy_crop,
        "expected_coverage": _mean([m.expected for m in masks]),
        "coverage": _mean([m.coverage for m in masks]),
        "camera_models": sorted({m.camera_model for m in masks}),
        "labels_unique": _passed(findings, "labels unique"),
        "splits": {split: _split(found, checked.config.loader) for split, found in splits.items()},
        "findings": [asdict(f) for f in findings],
        "verdict": verdict_of(findings),
    }


def _split(found: SplitMeasures, loader: LoaderSettings) -> dict[str, Any]:
    numbers = mask_numbers(found.masks)
    near = [n for n in found.distances.near if n >= min(loader.num_views)]
    most = max(loader.num_views)
    labels = [a.label for a in found.cars]
    return {
        "scenarios": len({a.scenario for a in found.cars}),
        "cars": len(found.cars),
        "moments": found.moments,
        "car_frames": sum(len(a.frames) for a in found.cars),
        "sampled_car_frames": found.sampled,
        "views": [min(min(near), most), min(max(near), most)] if near else None,
        "cars_of_a_moment": {str(n): c for n, c in sorted(found.distances.near.items())},
        "labels_unique": len(labels) == len(set(labels)),
        **numbers,
        "car_distance_m": found.distances.numbers(),
        "depth": _depth(found),
        "seams": _seams(found),
        "handedness": _handedness(found),
        "loader": _loader(found, loader),
    }


def _seams(found: SplitMeasures) -> dict[str, Any]:
    """Return differences of colours, of 255: in finished panoramas, and between the images."""
    borders = _mean([255.0 * float(m.costs[0]) for m in found.borders])
    return {
        "step_across": _mean([m.seam_steps[0] for m in found.masks]),
        "step_beside": _mean([m.seam_steps[1] for m in found.masks]),
        "images_at_borders": borders,
    }


def _depth(found: SplitMeasures) -> dict[str, Any]:
    sources = sorted({m.source for m in found.depth})
    return {"sources": sources, "density": _mean([m.density for m in found.depth])}


def _handedness(found: SplitMeasures) -> dict[str, Any] | None:
    total = total_hits(found.handedness)
    if not total:
        return None
    read, mirrored = total[AS_READ], total[MIRRORED]
    return {
        "boxes": read.boxes,
        "hit_share": read.hit / max(1, read.boxes),
        "mirrored_hit_share": mirrored.hit / max(1, mirrored.boxes),
        "inside_share": read.inside / max(1, read.shell),
        "mirrored_inside_share": mirrored.inside / max(1, mirrored.shell),
    }


def _loader(found: SplitMeasures, settings: LoaderSettings) -> dict[str, Any]:
    plan = split_plan(settings, found)
    counted = {str(nv): found.distances.moments_with(nv) for nv in sorted(set(settings.num_views))}
    return {
        "samples": plan.samples,
        "moments_with_cars": counted,
        "world_size": plan.world_size,
        "batch_sizes": {str(nv): size for nv, size in plan.batch_sizes.items()},
        "steps": plan.steps,
        "mean_share_used": plan.mean_share,
        "validation_batch_sizes": {str(nv): size for nv, size in plan.validation_batches.items()},
        "samples_for_5000_steps": samples_for(5000, plan),
    }


def _passed(findings: Sequence[Finding], name: str) -> bool:
    return any(f.name == name and f.status is Status.OK for f in findings)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
