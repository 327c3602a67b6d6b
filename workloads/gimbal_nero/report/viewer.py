"""The exported object in three dimensions on a run's page."""

from __future__ import annotations

from pathlib import Path

from gimbal.experiment.files import exists, storage_errors
from gimbal.pages.markup import Html
from gimbal_nero.exporting.environment import read_environment
from gimbal_nero.exporting.export import GLB, LIGHT
from gimbal_nero.exporting.viewer import viewer_body, viewer_scripts

__all__ = ["viewer_scripts", "viewer_section"]


def viewer_section(export_dir: Path) -> Html | None:
    """Return the viewer of what stage `export` wrote; None where there is nothing.

    The page that shows it must run `viewer_scripts` (`gimbal.pages.skeleton.Page.scripts`): its
    policy forbids scripts that a frame brings along.

    Raises:
        ExportError: The light is damaged.
        StorageError: A file cannot be read.
    """
    path = export_dir / GLB
    if not exists(path):
        return None
    with storage_errors(path, "read"):
        glb = path.read_bytes()
    light = export_dir / LIGHT
    return viewer_body(glb, read_environment(light) if exists(light) else None, "The object")
