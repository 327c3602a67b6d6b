"""Does the gradient reach every part of the policy, and would a detached one point the right way?

Three questions, each answered where it can be: what the training noted about its gradients; how the
detached gradient through fused depth compares with the true one on this run's objects; and whether
a soft renderer's silhouettes have a gradient at all. Beyond one view the detached gradient is
measured for every run and judged only where `detached_cd` is what the run trains by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gimbal.errors import CannotTell
from gimbal.experiment.files import read_json
from gimbal.experiment.stage import Progress
from gimbal.training.gradient_report import REPORT_FILE
from gimbal_nbv.diagnostics.bench import Bench, BenchObject
from gimbal_nbv.diagnostics.finding import Check, Diagnosis
from gimbal_nbv.diagnostics.gradient_agreement import Agreement, agreement
from gimbal_nbv.diagnostics.gradient_figures import agreement_plot, agreement_table, parts_table
from gimbal_nbv.diagnostics.prefixes import farthest_sets
from gimbal_nbv.diagnostics.silhouette_gradient import REMEDY, pytorch3d_slope_ratio
from gimbal_nbv.diagnostics.statistics import Mean, wilson
from gimbal_nbv.objectives.detached import DetachedSettings
from gimbal_nbv.objectives.detached_inputs import MeshDepths, detached_states
from gimbal_nbv.protocol import first_views
from gimbal_nbv.reconstruction.fusion import DepthFusion
from gimbal_nbv.states import States

OBJECTS = 24
TRIPLES = 8
"""First views of an object, each with one drawn place for the next camera."""
STAGES = 3
MIN_COSINE, MIN_SIGN = 0.4, 0.75
LEAST_UPDATE, GREATEST_UPDATE = 1e-6, 0.1
LARGEST_IMAGE = 96

Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class StageAgreement:
    """Both gradients in states of one length, all objects together.

    Attributes:
        views: Views taken before.
        found: The gradients.
        by_object: Mean cosine of each object.
    """

    views: int
    found: Agreement
    by_object: Sequence[float]

    @property
    def numbers(self) -> dict[str, Any]:
        """What goes into JSON and tables."""
        cosine, mean = self.found.cosine, Mean.of(self.by_object)
        rightly = int((cosine > 0).sum())
        return {
            "views": self.views,
            "triples": len(cosine),
            "cosine": float(cosine.mean()),
            "cosine_median": float(np.median(cosine)),
            "cosine_ci95": mean.ci95,
            "sign_rate": rightly / len(cosine),
            "sign_ci95": wilson(rightly, len(cosine)),
            "length_ratio_median": float(np.median(self.found.ratio)),
        }


def measure(bench: Bench, progress: Progress) -> Diagnosis:
    """Judge the gradients of a run.

    Raises:
        CannotTell: The run has no object.
    """
    torch.set_num_threads(1)
    entries = training_entries(bench)
    parts: list[list[Agreement]] = [[] for _ in range(STAGES)]
    total = min(bench.count(), OBJECTS)
    step = max(bench.count() // OBJECTS, 1)
    chosen = (one for place, one in enumerate(bench.objects()) if place % step == 0)
    for done, one in zip(range(1, total + 1), chosen, strict=False):
        for taken in range(STAGES):
            parts[taken].append(object_agreement(one, taken + 1, bench.seed))
        progress(done, total, "objects")
    if not parts[0]:
        raise CannotTell("this run has no test object", "give it one: data.test_shapes")
    stages = [
        StageAgreement(
            views=taken + 1,
            found=Agreement.joined(found),
            by_object=[float(one.cosine.mean()) for one in found],
        )
        for taken, found in enumerate(parts)
    ]
    trained = bench.config.states.longest if _uses_detached(bench) else 1
    return diagnose(entries, stages, pytorch3d_slope_ratio(bench.protocol), trained)


def training_entries(bench: Bench) -> Entries:
    """Return what the training noted of its gradients; nothing where there was no training."""
    if "train" not in bench.inputs:
        return []
    path = bench.folder("train") / REPORT_FILE
    return list(read_json(path)["entries"]) if path.exists() else []


def object_agreement(one: BenchObject, taken: int, seed: int) -> Agreement:
    """Compare both gradients on one object.

    States lie on the farthest schedule of the object's first views; the place of the next camera is
    drawn evenly from the sphere, the same for every run with this seed.

    Args:
        one: The object.
        taken: Views of each state.
        seed: Of first views and places.
    """
    protocol, mesh, depth = one.oracle.protocol, one.mesh, one.depth
    starts = first_views(protocol, one.object_id, TRIPLES, seed)
    states = States(one.oracle, farthest_sets(protocol, starts, taken))
    stride = max(-(-depth.shape[-1] // LARGEST_IMAGE), 1)
    inputs = detached_states(states, depth, stride=stride)
    size = int(inputs.depths.shape[-1])
    places = np.random.default_rng([seed, starts[0], taken]).normal(size=(TRIPLES, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    renderer = MeshDepths(lambda number: mesh, image_size=size, fov_deg=protocol.fov_deg)
    settings = DetachedSettings(radius=protocol.radius, normalise="none")
    return agreement(torch.from_numpy(places), inputs, renderer, DepthFusion(), settings)


def diagnose(
    entries: Entries,
    stages: Sequence[StageAgreement],
    silhouette: float | None,
    trained: int,
) -> Diagnosis:
    """Judge what was found.

    Args:
        entries: Of the training's gradient_report.json; none where there was no training.
        stages: The detached gradient by views taken, one view first.
        silhouette: Slope of a soft silhouette over its finite difference, None without PyTorch3D.
        trained: The detached gradient is judged in states of up to so many views.
    """
    numbers = [stage.numbers for stage in stages]
    parts = summarise(entries)
    judged = [check for n in numbers if n["views"] <= trained for check in _agreement_checks(n)]
    first, last = numbers[0], numbers[-1]
    return Diagnosis(
        name="gradient-report",
        question="Does the gradient through a detached rendering point where the true one points?",
        answer=f"With {first['views']} view taken its cosine to the true gradient is "
        f"{first['cosine']:.2f} on average and positive in {100 * first['sign_rate']:.0f} % of "
        f"{first['triples']} places; with {last['views']} views it is {last['cosine']:.2f} and "
        f"{100 * last['sign_rate']:.0f} %.",
        checks=(*_part_checks(parts), *judged, _silhouette_check(silhouette)),
        numbers={
            "agreement": numbers,
            "parts": parts,
            "silhouette_slope_ratio": silhouette,
            "judged_up_to_views": trained,
        },
        tables=(*parts_table(parts), agreement_table(numbers)),
        plots=(agreement_plot([stage.found for stage in stages]),),
    )


def summarise(entries: Entries) -> dict[str, dict[str, float]]:
    """Return for each part the median over the training, and the worst share of missing values.

    The median, because a rate that warms up and ends at zero has its extremes there.
    """
    names = {name for entry in entries for name in entry["modules"]}
    return {name: _summary([e["modules"][name] for e in entries]) for name in sorted(names)}


def _summary(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    without = [part["zero_share"] + part["none_share"] for part in found]
    updates = [part["update_ratio"] for part in found if "update_ratio" in part]
    return {
        "parameters": found[0]["parameters"],
        "norm": float(np.median([part["norm"] for part in found])),
        "without_gradient": float(np.median(without)),
        "nan_share": max(part["nan_share"] for part in found),
        "update_ratio": float(np.median(updates)) if updates else float("nan"),
    }


def _part_checks(parts: Mapping[str, Mapping[str, float]]) -> tuple[Check, ...]:
    def worst(values: list[float]) -> float | None:
        return max(values) if values else None

    none = "" if parts else "this run has trained nothing yet: run its config to the end; "
    dead = [name for name, part in parts.items() if part["without_gradient"] >= 1.0]
    updates = [part["update_ratio"] for part in parts.values()]
    return (
        Check(
            name="parts without any gradient",
            value=float(len(dead)) if parts else None,
            op="<=",
            threshold=0.0,
            hint=none + (f"cut off from the loss: {', '.join(dead)}" if dead else "look at detach"),
        ),
        Check(
            name="share of NaN in any gradient",
            value=worst([part["nan_share"] for part in parts.values()]),
            op="<=",
            threshold=0.0,
            hint=none + "see bad_batches.json of the stage train for the batch it began with",
        ),
        Check(
            name="largest update over weights, median step",
            value=worst(updates),
            op="<=",
            threshold=GREATEST_UPDATE,
            hint=none + "weights are thrown about at every step: lower train.lr",
        ),
        Check(
            name="smallest update over weights, median step",
            value=min(updates) if updates else None,
            op=">=",
            threshold=LEAST_UPDATE,
            hint=none + "weights hardly move: raise train.lr (1e-5 and below moves nothing here)",
        ),
    )


def _agreement_checks(numbers: Mapping[str, Any]) -> tuple[Check, ...]:
    where = f"N={numbers['views']}"
    hint = (
        "below this, objective.name: detached_cd must not be used with this reconstruction at "
        f"{where}: use oracle_soft or map_ascent, or states.longest below it"
    )
    return (
        Check(
            name=f"cosine of detached and true gradient, {where}",
            value=numbers["cosine"],
            op=">=",
            threshold=MIN_COSINE,
            ci95=numbers["cosine_ci95"],
            hint=hint,
        ),
        Check(
            name=f"detached gradient within 90 degrees of the true one, {where}",
            value=numbers["sign_rate"],
            op=">=",
            threshold=MIN_SIGN,
            ci95=numbers["sign_ci95"],
            hint=hint,
        ),
    )


def _silhouette_check(ratio: float | None) -> Check:
    return Check(
        name="slope of a soft silhouette over its finite difference",
        value=ratio,
        op=">=",
        threshold=0.5,
        hint=f"needs PyTorch3D: {REMEDY}"
        if ratio is None
        else "the blur is too small for this image size: raise sigma of soft_silhouettes",
    )


def _uses_detached(bench: Bench) -> bool:
    return bench.config.objective.name == "detached_cd"
