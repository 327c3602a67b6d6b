"""Does the gradient reach every part of the policy, and would a detached one point the right way?

Four questions, each answered where it can be: what the training noted about its gradients; what
came of the pose's gradient on its way to the weights; how the detached gradient of the run's own
loss (that of fused depth where it trains by another) compares with the true one on its objects;
and whether a soft renderer's silhouettes have a gradient at all. Beyond one view the detached
gradient is measured for every run and judged only where `detached_cd` is what the run trains by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gimbal.errors import CannotTell
from gimbal.experiment.stage import Progress
from gimbal_nbv.diagnostics.bench import Bench, BenchObject
from gimbal_nbv.diagnostics.detached_means import DetachedMeans, Fallback
from gimbal_nbv.diagnostics.finding import Check, Diagnosis
from gimbal_nbv.diagnostics.gradient_agreement import Agreement, agreement
from gimbal_nbv.diagnostics.gradient_figures import agreement_plot, agreement_table, parts_table
from gimbal_nbv.diagnostics.gradient_flow import Flow, flow_checks, read_flow
from gimbal_nbv.diagnostics.gradient_parts import Entries, part_checks, read_entries, summarise
from gimbal_nbv.diagnostics.prefixes import farthest_sets, own_starts
from gimbal_nbv.diagnostics.silhouette_gradient import REMEDY, pytorch3d_slope_ratio
from gimbal_nbv.diagnostics.statistics import Mean, wilson
from gimbal_nbv.objectives.detached_inputs import MeshDepths, detached_states
from gimbal_nbv.states import States

OBJECTS = 24
TRIPLES = 8
"""First views of an object, each with one drawn place for the next camera."""
STAGES = 3
MIN_COSINE, MIN_SIGN = 0.4, 0.75
LARGEST_IMAGE = 96


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
    train = bench.folder("train") if "train" in bench.inputs else None
    means = DetachedMeans.of(bench, Fallback(side=LARGEST_IMAGE, truth_points=None))
    detached = bench.config.objective.name == "detached_cd"
    return diagnose(
        read_entries(train),
        _stages(bench, means, progress) if means else [],
        pytorch3d_slope_ratio(bench.protocol),
        bench.config.states.longest if detached else 1,
        flow=read_flow(train),
    )


def _stages(bench: Bench, means: DetachedMeans, progress: Progress) -> list[StageAgreement]:
    """Compare both gradients on objects spread evenly over the run's held-out ones."""
    parts: list[list[Agreement]] = [[] for _ in range(STAGES)]
    total = min(bench.count(), OBJECTS)
    wanted = set(np.linspace(0, bench.count() - 1, total).round().astype(int).tolist())
    chosen = (one for place, one in enumerate(bench.objects()) if place in wanted)
    for done, one in enumerate(chosen, start=1):
        starts = own_starts(bench, one, TRIPLES)
        for taken in range(STAGES):
            found = object_agreement(one, taken + 1, starts, bench.seed, means)
            parts[taken].append(found)
        progress(done, total, "objects")
    if not parts[0]:
        raise CannotTell("this run has no test object", "give it one: data.test_shapes")
    return [
        StageAgreement(
            views=taken + 1,
            found=Agreement.joined(found),
            by_object=[float(one.cosine.mean()) for one in found],
        )
        for taken, found in enumerate(parts)
    ]


def object_agreement(
    one: BenchObject, taken: int, starts: Sequence[int], seed: int, means: DetachedMeans
) -> Agreement:
    """Compare both gradients on one object.

    States lie on the farthest schedule of the object's first views; the place of the next camera is
    drawn evenly from the sphere, the same for every run with this seed.

    Args:
        one: The object.
        taken: Views of each state.
        starts: First views; repeated where there are fewer than places.
        seed: Of places.
        means: The loss and what it is measured on.
    """
    protocol, mesh, depth = one.oracle.protocol, one.mesh, one.depth
    firsts = np.resize(np.asarray(starts), TRIPLES).tolist()
    states = States(one.oracle, farthest_sets(protocol, firsts, taken))
    inputs = detached_states(
        states, depth, stride=means.stride(depth.shape[-1]), truth_points=means.truth_points
    )
    size = int(inputs.depths.shape[-1])
    places = np.random.default_rng([seed, firsts[0], taken]).normal(size=(TRIPLES, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    renderer = MeshDepths(lambda number: mesh, image_size=size, fov_deg=protocol.fov_deg)
    world = torch.from_numpy(places)
    return agreement(world, inputs, renderer, means.reconstruction, means.settings)


def diagnose(
    entries: Entries,
    stages: Sequence[StageAgreement],
    silhouette: float | None,
    trained: int,
    *,
    flow: Sequence[Flow] = (),
) -> Diagnosis:
    """Judge what was found.

    Args:
        entries: Of the training's gradient_report.json; none where there was no training.
        stages: The detached gradient by views taken, one view first; none where the run's own
            reconstruction is not there.
        silhouette: Slope of a soft silhouette over its finite difference, None without PyTorch3D.
        trained: The detached gradient is judged in states of up to so many views.
        flow: What each validation saw of the gradient on its way from the pose.
    """
    numbers = [stage.numbers for stage in stages]
    parts = summarise(entries)
    judged = [check for n in numbers if n["views"] <= trained for check in _agreement_checks(n)]
    return Diagnosis(
        name="gradient-report",
        question="Does the gradient through a detached rendering point where the true one points?",
        answer=_answer(numbers),
        checks=(
            *part_checks(parts),
            *flow_checks(flow),
            *(judged or _agreement_checks(None)),
            _silhouette_check(silhouette),
        ),
        numbers={
            "agreement": numbers,
            "parts": parts,
            "flow": list(flow),
            "silhouette_slope_ratio": silhouette,
            "judged_up_to_views": trained,
        },
        tables=(*parts_table(parts), *((agreement_table(numbers),) if numbers else ())),
        plots=(agreement_plot([stage.found for stage in stages]),) if stages else (),
    )


def _answer(numbers: Sequence[Mapping[str, Any]]) -> str:
    if not numbers:
        return (
            "The run's loss is measured on its completion net, which is not there, so its detached "
            "gradient was not compared with the true one."
        )
    first, last = numbers[0], numbers[-1]
    return (
        f"With {first['views']} view taken its cosine to the true gradient is "
        f"{first['cosine']:.2f} on average and positive in {100 * first['sign_rate']:.0f} % of "
        f"{first['triples']} places; with {last['views']} views it is {last['cosine']:.2f} and "
        f"{100 * last['sign_rate']:.0f} %."
    )


def _agreement_checks(numbers: Mapping[str, Any] | None) -> tuple[Check, ...]:
    """Judge states of one length; not checkable where nothing was measured."""
    where = f"N={numbers['views'] if numbers else 1}"
    hint = (
        "below this, objective.name: detached_cd must not be used with this reconstruction at "
        f"{where}: use oracle_soft or map_ascent, or states.longest below it"
        if numbers
        else "the run's completion net is not there: run its config to the end"
    )
    return (
        Check(
            name=f"cosine of detached and true gradient, {where}",
            value=numbers["cosine"] if numbers else None,
            op=">=",
            threshold=MIN_COSINE,
            ci95=numbers["cosine_ci95"] if numbers else None,
            hint=hint,
        ),
        Check(
            name=f"detached gradient within 90 degrees of the true one, {where}",
            value=numbers["sign_rate"] if numbers else None,
            op=">=",
            threshold=MIN_SIGN,
            ci95=numbers["sign_ci95"] if numbers else None,
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
