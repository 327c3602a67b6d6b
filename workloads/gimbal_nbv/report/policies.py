"""The policies a report may compare: what they are called, what they do, how they are drawn.

A policy nobody listed here still gets a row and a line, under its own name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["learned", "control", "baseline", "oracle"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """One policy as the report shows it.

    Attributes:
        key: Name in the evaluation.
        label: Name for people.
        role: Decides grouping and emphasis.
        about: One line for the reader.
        dash: Plotly line dash.
        width: Line width in pixels.
        symbol: Plotly marker symbol, so that lines differ by more than colour.
    """

    key: str
    label: str
    role: Role
    about: str
    dash: str = "solid"
    width: float = 1.5
    symbol: str = "circle"

    @property
    def colour(self) -> str:
        """CSS colour; the value stands in style.css."""
        name = _ALIASES.get(self.key, self.key)
        return f"var(--c-{name})" if name in _KNOWN else "var(--c-other)"


CATALOGUE: tuple[Policy, ...] = (
    Policy(
        key="policy",
        label="Learned policy",
        role="learned",
        about="The trained network: picks the candidate it scores highest.",
        width=3.0,
    ),
    Policy(
        key="blind",
        label="Blind control",
        role="control",
        about="The same kind of network, told angles only: it never sees the object.",
        dash="dash",
        width=2.2,
        symbol="circle-open",
    ),
    Policy(
        key="farthest",
        label="Farthest",
        role="baseline",
        about="The candidate with the largest angle to the nearest view so far. The bar to beat.",
        width=2.2,
        symbol="square",
    ),
    Policy(
        key="completion",
        label="Completion-guided",
        role="baseline",
        about="Expected new surface by the learned completion of the shape (Pred-NBV's idea).",
        dash="dashdot",
        symbol="pentagon",
    ),
    Policy(
        key="unknown_ray",
        label="Unknown ray",
        role="baseline",
        about="Share of the candidate's rays that meet unknown space before any known surface.",
        symbol="diamond",
    ),
    Policy(
        key="rear_side",
        label="Rear side",
        role="baseline",
        about="Share of rays that would meet known surface from behind (Proximity Count's idea).",
        symbol="triangle-up",
    ),
    Policy(
        key="frontier",
        label="Frontier",
        role="baseline",
        about="Unknown voxels next to free ones, along the candidate's rays.",
        symbol="triangle-down",
    ),
    Policy(
        key="cov_nbv",
        label="Cov-NBV",
        role="baseline",
        about="Empty pixels of the projected reconstruction, background included, as VIN-NBV "
        "defines its baseline; it prefers thin silhouettes and is weak.",
        dash="dot",
        symbol="cross",
    ),
    Policy(
        key="first_frame_constant",
        label="First-frame constant",
        role="baseline",
        about="One fixed direction a step, relative to the first view: the best over training.",
        dash="dashdot",
        symbol="hexagon",
    ),
    Policy(
        key="ring",
        label="Ring",
        role="baseline",
        about="Even steps along the great circle through the first view and the pole.",
        dash="dash",
        symbol="star",
    ),
    Policy(
        key="random",
        label="Random",
        role="baseline",
        about="Any unused candidate, each as likely.",
        dash="dot",
        symbol="x",
    ),
    Policy(
        key="oracle",
        label="Oracle, coverage",
        role="oracle",
        about="Sees the true gain of every candidate and takes the largest: the top of the scale.",
        dash="longdash",
        width=2.2,
        symbol="star-diamond",
    ),
    Policy(
        key="oracle_cd",
        label="Oracle, Chamfer",
        role="oracle",
        about="Takes the candidate that truly lowers the Chamfer distance most.",
        dash="longdashdot",
        symbol="star-triangle-up",
    ),
)
_ALIASES = {"first_frame": "first_frame_constant"}
_KNOWN = {policy.key: policy for policy in CATALOGUE}
_ORDER = {policy.key: rank for rank, policy in enumerate(CATALOGUE)}


def policy(key: str) -> Policy:
    """Return the catalogue's entry, or a plain baseline for a name it does not know."""
    known = _KNOWN.get(_ALIASES.get(key, key))
    return (
        replace(known, key=key) if known else Policy(key=key, label=key, role="baseline", about="")
    )


def ordered(keys: Iterable[str]) -> list[str]:
    """Sort policy names as the catalogue lists them, unknown ones last."""
    return sorted(set(keys), key=_rank)


def _rank(key: str) -> tuple[int, str]:
    return _ORDER.get(_ALIASES.get(key, key), len(_ORDER)), key
