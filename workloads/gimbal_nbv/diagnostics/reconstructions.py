"""The reconstructions of an examined run, as what can be asked about view sets.

Depth fusion is always there and costs nothing. The multi-view model is asked about few objects,
since every candidate of every state takes a pass of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gimbal_nbv.learned import completion_of, multiview_of
from gimbal_nbv.learned_settings import Learned
from gimbal_nbv.view_sensitivity import FusedDepth, SetReconstruction

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.bench import Bench, BenchObject


def reconstructions_of(
    bench: Bench, objects: Sequence[BenchObject]
) -> dict[str, SetReconstruction]:
    """Return `fusion`, and as far as the run has them `completion`, `voxels` and `multiview`.

    Args:
        bench: The run.
        objects: What will be asked about; `multiview` only about `few` of them.
    """
    found: dict[str, SetReconstruction] = {"fusion": FusedDepth()}
    if "completion" in bench.inputs:
        from gimbal_nbv.completion_settings import CompletionSettings

        settings = bench.config.completion or CompletionSettings()
        learned = Learned(completion=settings)
        completion = completion_of(learned, bench.inputs, bench.protocol.grid)
        found["completion"] = completion
        if completion.keep_measured:
            found["voxels"] = replace(completion, keep_measured=False)
    if has_multiview(bench):
        found["multiview"] = multiview_sets(bench, few(bench, objects))
    return found


def has_multiview(bench: Bench) -> bool:
    """Return whether the run trained the multi-view model."""
    return "multiview" in bench.inputs and bench.config.multiview is not None


def few(bench: Bench, objects: Sequence[BenchObject]) -> Sequence[BenchObject]:
    """Return as many objects, evenly spread, as the multi-view model is asked about."""
    settings = bench.config.multiview
    count = len(objects) if settings is None else min(len(objects), settings.objects)
    places = np.linspace(0, len(objects) - 1, count).round().astype(int)
    return [objects[place] for place in places]


def multiview_sets(bench: Bench, objects: Sequence[BenchObject]) -> SetReconstruction:
    """Return the run's multi-view model, ready to be asked about some objects."""
    from gimbal_nbv.reconstruction.multiview import MultiviewSets

    images = {one.oracle: one.images for one in objects}
    return MultiviewSets(multiview_of(bench.config.learned, bench.inputs), images)
