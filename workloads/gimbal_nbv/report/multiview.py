"""What the run found out about its multi-view model: the oracle test and the view-sensitivity gate.

They stand in the report because a policy that looks through a network can be no better than what
the network makes of a view.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gimbal.pages.markup import Html, el
from gimbal.pages.tables import plain_table

from .text import MISSING, mapping, number, percent, records


def multiview_tables(evaluation: Mapping[str, Any]) -> tuple[Html | None, ...]:
    """Return the two tables, none of a run without the model.

    Args:
        evaluation: Holds under `multiview` what the stages `oracle_test` (`oracle_test`, its
            diagnosis) and `sensitivity` (`sensitivity`, the gate) wrote.
    """
    found = mapping(evaluation.get("multiview"))
    if not found:
        return ()
    return (
        el(
            "p",
            "This run trained a multi-view model on its training objects. Both tables ask its "
            "reconstruction, not the policy.",
        ),
        _oracle_test(mapping(found.get("oracle_test"))),
        _gate(mapping(found.get("sensitivity"))),
    )


def _oracle_test(diagnosis: Mapping[str, Any]) -> Html | None:
    checks = records(diagnosis.get("checks"))
    if not checks:
        return None
    return plain_table(
        f"Oracle test on held-out objects, fused depth and model: {diagnosis.get('verdict')}",
        ("Check", "Found", "Wanted", "Verdict"),
        [
            (
                str(check.get("name")),
                number(check.get("value")),
                f"{check.get('op')} {number(check.get('threshold'), 2)}",
                str(check.get("verdict")),
            )
            for check in checks
        ],
    )


def _gate(gate: Mapping[str, Any]) -> Html | None:
    stages = records(gate.get("stages"))
    if not stages:
        return None
    return plain_table(
        "View-sensitivity gate on validation objects: after which views is what the model says of "
        "a candidate to be believed?",
        ("Views taken", "Candidates that worsen it", "Spearman with coverage", "Passes"),
        [
            (
                str(stage.get("views", MISSING)),
                percent(stage.get("worsening")),
                number(stage.get("spearman"), 2),
                "yes" if stage.get("passed") else "no",
            )
            for stage in stages
        ],
    )
