"""The policies a report may compare: what they are called, what they do, how they are drawn.

A policy nobody listed here still gets a row and a line, under its own name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
        return f"var(--c-{self.key})" if self.key in _KNOWN else "var(--c-other)"


CATALOGUE: tuple[Policy, ...] = (
    Policy(
        key="policy",
        label="Learned policy",
        role="learned",
        about="The trained scorer: picks the candidate with the highest predicted gain.",
        width=3.0,
    ),
    Policy(
        key="blind",
        label="Blind control",
        role="control",
        about="The same training without any observation: it only knows the camera directions.",
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
        key="unknown_ray",
        label="Unknown ray",
        role="baseline",
        about="Share of rays that meet an unknown voxel before any occupied one.",
        symbol="diamond",
    ),
    Policy(
        key="rear_side",
        label="Rear side",
        role="baseline",
        about="Counts unknown voxels right behind seen surface.",
        symbol="triangle-up",
    ),
    Policy(
        key="frontier",
        label="Frontier",
        role="baseline",
        about="Counts free voxels that border on unknown ones.",
        symbol="triangle-down",
    ),
    Policy(
        key="cov_nbv",
        label="Cov-NBV",
        role="baseline",
        about="Counts empty pixels of the projected cloud, background included; known to be weak.",
        dash="dot",
        symbol="cross",
    ),
    Policy(
        key="first_frame_constant",
        label="First-frame constant",
        role="baseline",
        about="The fixed view order, relative to the first view, that served training best.",
        dash="dashdot",
        symbol="hexagon",
    ),
    Policy(
        key="ring",
        label="Ring",
        role="baseline",
        about="Evenly spaced views around the object at one height.",
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
_KNOWN = {policy.key: policy for policy in CATALOGUE}
_ORDER = {policy.key: rank for rank, policy in enumerate(CATALOGUE)}


def policy(key: str) -> Policy:
    """Return the catalogue's entry, or a plain baseline for a name it does not know."""
    return _KNOWN.get(key) or Policy(key=key, label=key, role="baseline", about="")


def ordered(keys: Iterable[str]) -> list[str]:
    """Sort policy names as the catalogue lists them, unknown ones last."""
    return sorted(set(keys), key=lambda key: (_ORDER.get(key, len(_ORDER)), key))
