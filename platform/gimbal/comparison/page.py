"""The comparison as one HTML file that opens anywhere, offline.

Python says what is to be said and drawn; the browser draws, and lets the reader choose. Colours
of groups live in `page.css` alone; the rest of the look is that of every page (`gimbal.pages`).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from gimbal.comparison import tables
from gimbal.comparison.model import Comparison
from gimbal.comparison.payload import payload
from gimbal.experiment.files import atomic_write_bytes, ensure_folder
from gimbal.pages.markup import Html, el
from gimbal.pages.skeleton import Page, Section, render_page, section


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the page; links to reports are relative to where it stands.

    Raises:
        StorageError: It cannot be written.
    """
    ensure_folder(path.parent)
    return atomic_write_bytes(path, render(comparison, path.parent).encode())


def render(comparison: Comparison, folder: Path) -> str:
    """Return the page as text, for a place in a folder."""
    data = payload(comparison)
    return render_page(
        Page(
            title=f"Comparison · {comparison.title}",
            overline=_overline(comparison),
            hero=(
                tables.protocol_warning(comparison),
                el("h1", comparison.verdict[0]),
                el("ul", [el("li", note) for note in _notes(comparison)], class_="notes"),
            ),
            sections=_sections(comparison, folder, data),
            data=data,
            scripts=[_asset(name) for name in ("page.js", "parallel.js")],
            style=_asset("page.css"),
        )
    )


def _sections(comparison: Comparison, folder: Path, data: dict[str, object]) -> list[Section]:
    drawn = {
        "settings": bool(comparison.axes),
        "curves": bool(data["curves"]),
        "axes": bool(data["parallel"]),
        "pairs": bool(data["pairs"]),
        "compute": len(comparison.best_so_far) > 1,
    }
    return [
        section("results", "Results", tables.results(comparison, folder), _method(comparison)),
        section(
            "settings", "What differs", tables.settings(comparison), tables.protocol_box(comparison)
        ),
        section("curves", "Learning curves", _asset_if(drawn["curves"], "curves.html")),
        section("axes", "Settings and result", _asset_if(drawn["axes"], "parallel.html")),
        section(
            "pairs",
            f"{_word(comparison)} by {_word(comparison).lower()}",
            _asset_if(drawn["pairs"], "pairs.html"),
        ),
        section("compute", "Best over compute", _asset_if(drawn["compute"], "compute.html")),
        section("troubles", "Not finished, or to be known", tables.troubles(comparison, folder)),
    ]


def _word(comparison: Comparison) -> str:
    word = comparison.metric.sample if comparison.metric else ""
    return (word or "sample").capitalize()


def _method(comparison: Comparison) -> Html:
    """Say how the intervals and p values were made, for whoever doubts them."""
    return el(
        "details",
        el("summary", "How to read this"),
        el("div", [el("p", text) for text in method(comparison)], class_="prose"),
    )


def method(comparison: Comparison) -> Sequence[str]:
    """Return how the intervals and p values were made."""
    reference = (
        "The reference is the best group; since it was picked by the numbers, p is corrected for "
        f"all {comparison.tests} pairs of groups."
        if comparison.chosen == "best"
        else f"The reference was named; p is corrected for {comparison.tests} tests."
    )
    return (
        "A group is all runs that are equal in everything but the seed; its number is the mean "
        "over seeds, its seconds the mean of a run.",
        "Intervals are 95 %: samples are drawn again with replacement (10,000 draws, stretched "
        "for few samples after Hesterberg, 2015). With several seeds each draw is also moved by "
        "Student's t with the standard error between seeds, so two seeds give wide intervals. "
        "Where each seed has its own samples, the interval is Student's t over seeds. With one "
        "seed, chance in training is not in the interval.",
        "p belongs to a paired permutation test: if a group and the reference did not differ, the "
        "two numbers of each sample could be swapped. With several seeds a t test that counts the "
        "spread between seeds is made as well, and the larger p stands. Holm's correction. "
        + reference,
        "“Settled” means that the corrected p is below .05 and the interval of the difference "
        "leaves 0 out.",
    )


def _overline(comparison: Comparison) -> list[str]:
    groups, runs = len(comparison.groups), len(comparison.runs)
    return [
        "Gimbal",
        "comparison",
        comparison.title,
        f"{runs} run{'s' if runs > 1 else ''} in {groups} group{'s' if groups > 1 else ''}",
    ]


def _notes(comparison: Comparison) -> tuple[str, ...]:
    return (*comparison.verdict[1:], *comparison.notes)


def _asset_if(wanted: bool, name: str) -> Html | None:
    return Html(_asset(name)) if wanted else None


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")
