"""The sphere as a part of a page: its section, its data and its scripts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from gimbal.pages.markup import Html
from gimbal.pages.skeleton import Section, section

_SCRIPTS = ("sphere_geometry.js", "sphere.js")


def sphere_section(sphere: Mapping[str, Any] | None) -> Section:
    """Return the section, without markup where there is no sphere.

    Args:
        sphere: See `report.sphere`.
    """
    return section("sphere", "The sphere", Html(_asset("sphere.html")) if sphere else None)


def sphere_scripts() -> tuple[str, ...]:
    """Return the text of the scripts that draw `data.sphere` of a page, if it has one."""
    return tuple(_asset(name) for name in _SCRIPTS)


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")
