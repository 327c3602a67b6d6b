"""What a page tells of a material: its maps, its looks elsewhere, its training, what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gimbal.pages.markup import Html, el, join
from gimbal.pages.skeleton import Section, section
from gimbal.pages.tables import plain_table
from gimbal_nero.judging.material_drawing import MATERIAL_PREFIX, RELIT_FULL, RELIT_PREFIX
from gimbal_nero.judging.relit_files import RelitPicture
from gimbal_nero.material.review import LABELS
from gimbal_nero.report.embedding import picture, side_by_side
from gimbal_nero.report.plotting import Figure, figure, line
from gimbal_nero.report.told import Told, ToldMaterial

_JUDGED_WORDS = {
    MATERIAL_PREFIX: "View {}: roughness, metallic (black 0, white 1) and albedo, its brightness "
    "aligned with the truth's; learnt above, true below where it is known",
    RELIT_PREFIX: "Light and view {}: truth, ours with its brightness aligned, and their "
    f"difference (white: {RELIT_FULL:.0f} of 255 levels), within the outline",
}
MOST = 24
"""Pictures of a kind; more would make a page that no browser likes to open."""
_SINGLE_PX, _TRIPLE_PX = 192, 576
_COURSE = ("roughness", "metallic", "albedo", "at_ends")


def is_of_material(path: Path) -> bool:
    """Tell whether a picture of stage `evaluate` shows a material."""
    return path.stem.startswith(tuple(_JUDGED_WORDS))


def material_sections(told: Told, viewer: Html | None, course: Html | None) -> list[Section]:
    """Return the sections of a material in reading order; none where only a shape was learnt.

    Args:
        told: What stands on the page.
        viewer: The exported object in three dimensions.
        course: Figures over checkpoints.
    """
    one = told.material
    if one is None:
        return []
    maps = (_missing(told, "material"), _judged(told, MATERIAL_PREFIX))
    relit = (_missing(told, "relit"), _judged(told, RELIT_PREFIX), _relit(one.relit))
    return [
        section("object", "The object", viewer, _orbit(one)),
        section("relit", "Under other lights", *relit),
        section("material", "Material", *maps, _reviewed(one), _words(one)),
        section("fitted", "How the material came about", course, _moments(one)),
    ]


def review_figures(reviewed: Mapping[str, Any] | None) -> dict[str, Figure]:
    """Return PSNR and means of the material over the checkpoints that stage `review` saw."""
    moments: Sequence[Mapping[str, Any]] = (reviewed or {}).get("timeline", ())
    if not moments:
        return {}
    steps = [moment["step"] for moment in moments]
    quality = [line("psnr", steps, [moment["psnr"] for moment in moments], 0)]
    means = [
        line(name.replace("_", " "), steps, [moment.get(name) for moment in moments], number)
        for number, name in enumerate(_COURSE)
        if name in moments[-1]
    ]
    return {
        "course-psnr": (
            "PSNR of a held-out view",
            "Its pixels of the object, at kept checkpoints. It should rise.",
            figure(quality, "step", "dB"),
        ),
        "course-means": (
            "Material, means of that view",
            "They should settle within (0, 1); at ends: the share whose roughness sits at an end "
            "of its range.",
            figure(means, "step", ""),
        ),
    }


def cost_words(stages: Sequence[Mapping[str, Any]]) -> str | None:
    """Return whether the material cost more than the shape; None where either is not known.

    Theory has the material cost more, since every point asks hundreds of directions for light.
    """
    seconds = {stage["name"]: stage.get("seconds") for stage in stages}
    shape, material = seconds.get("shape"), seconds.get("material")
    if not shape or not material:
        return None
    more = "more" if material > shape else "less"
    return (
        f"The material cost {more} than the shape: {material:.0f} s against {shape:.0f} s, "
        f"{material / shape:.2f} times as much."
    )


def _missing(told: Told, what: str) -> Html | None:
    why = told.metrics.get("evaluate", {}).get(f"{what}_missing")
    return el("p", f"Not held against a truth: {why}.") if why else None


def _judged(told: Told, prefix: str) -> Html | None:
    found = [path for path in told.judged if path.stem.startswith(prefix)]
    words = _JUDGED_WORDS[prefix]
    return _all(
        [
            picture(path, words.format(path.stem.removeprefix(prefix)), _TRIPLE_PX)
            for path in found[:MOST]
        ]
    )


def _relit(pictures: Sequence[RelitPicture]) -> Html | None:
    drawn = [
        picture(one.png, f"Light {one.light}, view {one.view}", _SINGLE_PX)
        for one in pictures[:MOST]
    ]
    return side_by_side(drawn) if drawn else None


def _orbit(one: ToldMaterial) -> Html | None:
    return (
        None
        if one.orbit is None
        else picture(one.orbit, "Once around, in the learnt light", _SINGLE_PX)
    )


def _reviewed(one: ToldMaterial) -> Html | None:
    return _sheets(one, "views", lambda view: f"View {view['view']}, not learnt from")


def _moments(one: ToldMaterial) -> Html | None:
    return _sheets(one, "timeline", lambda moment: f"Step {moment['step']}")


def _sheets(one: ToldMaterial, key: str, words: Callable[[Mapping[str, Any]], str]) -> Html | None:
    if one.reviewed is None or one.review_dir is None:
        return None
    folder = one.review_dir
    return _all([picture(folder / entry["file"], words(entry)) for entry in one.reviewed[key]])


def _words(one: ToldMaterial) -> Html | None:
    if one.reviewed is None:
        return None
    table = plain_table("Pictures of a view", ("Picture", "Shows"), list(LABELS.items()))
    return el("details", el("summary", "What each picture shows"), table)


def _all(pictures: Sequence[Html]) -> Html | None:
    return join(list(pictures)) if pictures else None
