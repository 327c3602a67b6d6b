"""Diagnostic `view-sensitivity`: does every further view improve the reconstruction?

Depth fusion is always measured, the run's learned reconstructions where it has any. One that gets
worse by views that show something new cannot teach which view to take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.errors import CannotTell
from gimbal.experiment.stage import Progress
from gimbal_nbv.completion_settings import SensitivitySettings
from gimbal_nbv.diagnostics.bench import Bench
from gimbal_nbv.diagnostics.finding import Check, Diagnosis, Plot, Table
from gimbal_nbv.diagnostics.reconstructions import few, reconstructions_of
from gimbal_nbv.states import States, sample_states
from gimbal_nbv.view_sensitivity import (
    SCHEDULES,
    Curves,
    SetReconstruction,
    StageGate,
    coverage_weights,
    curves,
    gate,
    stage_findings,
)

if TYPE_CHECKING:
    from gimbal_nbv.oracle import OracleMap

MAX_WORSENING = 0.15
"""Largest share of added views that may make it worse."""
MAX_REPEAT = 0.01
"""Mean relative change by a view that was there already. Not 0: fused depth counts its points
twice, which moves the mean of its accuracy a little, and more the fewer pixels an image has."""
_GATED_OBJECTS = 24
_STATES_PER_OBJECT = 5
_WORDS = {
    "fusion": "depth fusion",
    "completion": "the completion net",
    "voxels": "its voxels without the measured points",
    "multiview": "the multi-view model",
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One reconstruction's curves by schedule, and its gates by stage.

    `voxels` is shown beside `completion` to tell what its measured points are worth: curves only,
    and it decides nothing.
    """

    curves: Mapping[str, Curves]
    gates: Sequence[StageGate]


def measure(bench: Bench, progress: Progress) -> Diagnosis:
    """Measure depth fusion, and the learned reconstructions that the run trained.

    Raises:
        CannotTell: The run holds no object out.
    """
    objects = list(bench.objects())
    if not objects:
        raise CannotTell("the run holds no object out", "raise data.test_shapes")
    reconstructions = reconstructions_of(bench, objects)
    found = {}
    for number, (name, reconstruction) in enumerate(reconstructions.items()):
        asked = few(bench, objects) if name == "multiview" else objects
        found[name] = _measure(name, reconstruction, [one.oracle for one in asked], bench)
        progress(number + 1, len(reconstructions), "reconstructions")
    return Diagnosis(
        name="view-sensitivity",
        question="Does every further view improve the reconstruction, and does a view that was "
        "there already change nothing?",
        answer=_answer(found),
        checks=_checks(found),
        numbers={"objects": len(objects)} | {name: _numbers(one) for name, one in found.items()},
        tables=tuple(_stage_table(name, one) for name, one in found.items() if one.gates),
        plots=(_curve_plot(found), _gate_plot(found)),
    )


def _settings(bench: Bench) -> SensitivitySettings:
    """Return the run's own gate, if its config has one."""
    settings = getattr(bench.config, "sensitivity", None)
    return settings if isinstance(settings, SensitivitySettings) else SensitivitySettings()


def _measure(
    name: str, reconstruction: SetReconstruction, oracles: Sequence[OracleMap], bench: Bench
) -> Measured:
    length = max(bench.config.evaluate.budget, bench.config.states.longest + 1)
    found = {order: curves(reconstruction, oracles, order, length) for order in SCHEDULES}
    if name == "voxels":
        return Measured(curves=found, gates=())
    settings = _settings(bench)
    longest = min(settings.longest, length - 1)
    some = oracles[:: -(-len(oracles) // _GATED_OBJECTS)]
    states = (_states(oracle, longest, [bench.seed, n]) for n, oracle in enumerate(some))
    return Measured(curves=found, gates=gate(stage_findings(reconstruction, states), settings))


def _states(oracle: OracleMap, longest: int, seed: Sequence[int]) -> States:
    return sample_states(oracle, _STATES_PER_OBJECT, np.random.default_rng(seed), longest=longest)


def _answer(found: Mapping[str, Measured]) -> str:
    shares = ", ".join(
        f"{one.curves['farthest'].worsening:.0%} worsen {_WORDS[name]}"
        for name, one in found.items()
    )
    words = f"Of the views added by the farthest schedule, {shares}."
    judged = [
        f"What {_WORDS[name]} says of a candidate can be believed {_stages(found[name])}."
        for name in ("completion", "multiview")
        if name in found
    ]
    return " ".join([words, *judged])


def _stages(found: Measured) -> str:
    passed = [str(one.finding.views) for one in found.gates if one.passed]
    return f"after {', '.join(passed)} views" if passed else "at no stage"


def _checks(found: Mapping[str, Measured]) -> tuple[Check, ...]:
    checks = []
    for name, one in found.items():
        if name == "voxels":
            continue
        for schedule, curve in one.curves.items():
            checks.append(
                Check(
                    name=f"{name}, {schedule}: share of added views that make it worse",
                    value=curve.worsening,
                    op="<=",
                    threshold=MAX_WORSENING,
                    hint=_HINTS[name],
                )
            )
        checks.append(
            Check(
                name=f"{name}: mean relative change by a view taken twice",
                value=float(np.max([curve.mean_repeat for curve in one.curves.values()])),
                op="<=",
                threshold=MAX_REPEAT,
                hint="the same image twice is no new evidence: look at how it weighs views",
            )
        )
    return (*checks, *_missing(found))


_HINTS = {
    "fusion": "lower the depth noise, or check that poses and depths belong together",
    "completion": "keep measured points (completion.keep_measured: true), and use its RRI as a "
    "target only at stages that pass; the others take coverage (lambda 1)",
    "multiview": "train it longer (multiview.train.steps) or on more objects; where this fails, "
    "what it says of a view is no measure of that view",
}


def _missing(found: Mapping[str, Measured]) -> tuple[Check, ...]:
    if "completion" in found or "multiview" in found:
        return ()
    return (
        Check(
            name="completion: share of added views that make it worse",
            value=None,
            op="<=",
            threshold=MAX_WORSENING,
            hint="this run trained no completion net",
        ),
    )


def _numbers(found: Measured) -> dict[str, Any]:
    """Return what was measured; what could not be measured is None."""
    return {
        "curves": {
            name: {
                "chamfer_e3": (1e3 * curve.chamfer.mean(axis=0)).tolist(),
                "worsening": curve.worsening,
                "mean_repeat": curve.mean_repeat,
                "largest_repeat": curve.largest_repeat,
            }
            for name, curve in found.curves.items()
        },
        "stages": [
            {
                "views": one.finding.views,
                "states": one.finding.states,
                "worsening": one.finding.worsening,
                "spearman": None if np.isnan(one.finding.spearman) else one.finding.spearman,
                "passed": one.passed,
            }
            for one in found.gates
        ],
        "lambdas": list(coverage_weights(found.gates, len(found.gates))),
    }


def _stage_table(name: str, found: Measured) -> Table:
    rows = tuple(
        (
            one.finding.views,
            one.finding.states,
            round(one.finding.worsening, 3),
            round(one.finding.spearman, 3),
            "yes" if one.passed else "no",
            one.coverage_weight,
        )
        for one in found.gates
    )
    return Table(
        title=f"{_WORDS[name].capitalize()}, stage by stage",
        columns=(
            "views taken",
            "states",
            "candidates that worsen it",
            "Spearman with coverage",
            "may be a target",
            "lambda",
        ),
        rows=rows,
        caption="Target of a candidate: lambda * coverage gain + (1 - lambda) * RRI of this "
        "reconstruction.",
    )


def _curve_plot(found: Mapping[str, Measured]) -> Plot:
    traces = []
    for name, one in found.items():
        for schedule, curve in one.curves.items():
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": f"{name}, {schedule}",
                    "x": list(range(1, curve.chamfer.shape[1] + 1)),
                    "y": (1e3 * curve.chamfer.mean(axis=0)).tolist(),
                    "line": {"dash": "solid" if schedule == "farthest" else "dot"},
                }
            )
    return Plot(
        title="Chamfer distance over the number of views",
        data=tuple(traces),
        layout={
            "xaxis": {"title": {"text": "views"}, "dtick": 1},
            "yaxis": {"title": {"text": "Chamfer distance, thousandths of a diagonal"}},
        },
        caption="A reconstruction that can teach falls with every view. Mean over the objects.",
    )


def _gate_plot(found: Mapping[str, Measured]) -> Plot:
    traces = []
    for name, one in found.items():
        views = [row.finding.views for row in one.gates]
        for label, values, dash in (
            ("worsening", [row.finding.worsening for row in one.gates], "solid"),
            ("Spearman", [row.finding.spearman for row in one.gates], "dot"),
        ):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": f"{name}, {label}",
                    "x": views,
                    "y": [None if np.isnan(value) else value for value in values],
                    "line": {"dash": dash},
                }
            )
    return Plot(
        title="The gate, stage by stage",
        data=tuple(traces),
        layout={
            "xaxis": {"title": {"text": "views taken"}, "dtick": 1},
            "yaxis": {"title": {"text": "share, correlation"}},
        },
        caption="Solid: share of candidates that raise the Chamfer distance, good at most "
        f"{MAX_WORSENING}. Dotted: rank correlation with the coverage gained.",
    )
