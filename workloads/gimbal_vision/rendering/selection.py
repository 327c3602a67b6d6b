"""Name the renderers, say which are installed, choose one."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Collection
from dataclasses import dataclass

from gimbal_vision.errors import RenderError
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering.base import Renderer, Shading

logger = logging.getLogger(__name__)

RASTER_S_PER_FACE = 30e-9
RASTER_S_PER_PIXEL = 10e-9
EMBREE_S_PER_FACE = 0.8e-6
EMBREE_S_PER_PIXEL = 0.2e-6
"""Fitted CPU seconds: per face and view, pixel and view, face (the tree, once), pixel and view."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way to render.

    Attributes:
        name: What `get` knows it by.
        module: Where it is, below this package.
        renderer: Its class.
        requires: The package it needs.
        remedy: How to get that package.
    """

    name: str
    module: str
    renderer: str
    requires: str
    remedy: str

    @property
    def installed(self) -> bool:
        """Whether the package it needs can be found (it is not imported)."""
        return importlib.util.find_spec(self.requires) is not None


BACKENDS: dict[str, Backend] = {
    b.name: b
    for b in (
        Backend(
            name="raster",
            module="raster",
            renderer="RasterRenderer",
            requires="numba",
            remedy="pip install gimbal",
        ),
        Backend(
            name="embree",
            module="embree",
            renderer="EmbreeRenderer",
            requires="embreex",
            remedy="pip install gimbal",
        ),
        Backend(
            name="warp",
            module="warp_backend",
            renderer="WarpRenderer",
            requires="warp",
            remedy="pip install 'gimbal[warp]'",
        ),
        Backend(
            name="pytorch3d",
            module="pytorch3d_backend",
            renderer="PyTorch3dRenderer",
            requires="pytorch3d",
            remedy="Build PyTorch3D 0.7.9 or later from source against your torch "
            "(see its INSTALL.md), or choose another renderer.",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A renderer's name and why it was chosen."""

    name: str
    reason: str


def get(name: str, *, shading: Shading | None = None, device: str = "cpu") -> Renderer:
    """Return a renderer.

    Args:
        name: raster, embree, warp or pytorch3d.
        shading: How `rgb` is lit.
        device: "cpu", "cuda" or "cuda:N"; for the backends that know devices.

    Raises:
        RenderError: If there is no such renderer, its package is not installed, or it cannot run
            on `device`.
    """
    backend = BACKENDS.get(name)
    if backend is None:
        raise RenderError(f"There is no renderer {name!r}", f"Choose from {', '.join(BACKENDS)}.")
    if not backend.installed:
        raise RenderError(
            f"The renderer {name!r} needs the package {backend.requires}, which is not installed",
            backend.remedy,
        )
    if name in ("raster", "embree") and device != "cpu":
        raise RenderError(
            f"The renderer {name!r} runs on the CPU only, not on {device!r}",
            "Choose warp or pytorch3d, or device cpu.",
        )
    module = importlib.import_module(f"{__package__}.{backend.module}")
    options = {} if name in ("raster", "embree") else {"device": device}
    renderer: Renderer = getattr(module, backend.renderer)(shading=shading, **options)
    return renderer


def choose(
    faces: int, pixels: int, device: str, installed: Collection[str], views: int = 64
) -> Choice:
    """Decide which renderer suits a mesh, an image size and a device.

    On a CPU, `raster` visits every face for each view and `embree` builds a tree once and then
    hardly notices faces. So many faces for few pixels, and views enough to pay for the tree, speak
    for Embree; with 64 views it takes over from about 11 faces a pixel, with 8 views never.
    Measured CPU ms for depth, normals and mask of 8 views that cover 24 % (bumpy icospheres, one
    core of an EPYC at 2.45 GHz; `benchmarks/render_views.py --crossover`):

    =======  ====  ======  ======  ====
    faces    size  raster  embree  tree
    =======  ====  ======  ======  ====
    5 120      96       4      10     8
    5 120     518      19     206     8
    81 920     96      25      18   116
    81 920    112      26      22   116
    81 920    256      36      82   116
    81 920    518      64     303   116
    327 680    96      83      35   522
    327 680   256     115     114   522
    327 680   518     186     359   522
    =======  ====  ======  ======  ====

    Args:
        faces: Of the mesh.
        pixels: Of one view.
        device: Where to render.
        installed: Names of the backends at hand.
        views: How many views of the mesh there will be.
    """
    if device != "cpu":
        for name in ("warp", "pytorch3d"):
            if name in installed:
                return Choice(name=name, reason=f"{name} renders on {device}")
        return Choice(
            name=choose(faces, pixels, "cpu", installed, views).name,
            reason=f"nothing installed renders on {device}: {BACKENDS['warp'].remedy}",
        )
    raster_s = views * (RASTER_S_PER_FACE * faces + RASTER_S_PER_PIXEL * pixels)
    embree_s = EMBREE_S_PER_FACE * faces + views * EMBREE_S_PER_PIXEL * pixels
    reason = f"about {raster_s:.2g} CPU-s by raster, {embree_s:.2g} by embree"
    name = "embree" if embree_s < raster_s and "embree" in installed else "raster"
    return Choice(name=name, reason=reason)


def auto(
    mesh: Mesh,
    height: int,
    width: int,
    device: str = "cpu",
    *,
    views: int = 64,
    shading: Shading | None = None,
) -> Renderer:
    """Return the renderer that suits best; falls back to the CPU with a warning.

    Args:
        mesh: What is to be rendered.
        height: Of one view, in pixels.
        width: Of one view, in pixels.
        device: "cpu", "cuda" or "cuda:N".
        views: How many views of this mesh there will be.
        shading: How `rgb` is lit.
    """
    installed = [name for name, backend in BACKENDS.items() if backend.installed]
    choice = choose(len(mesh.faces), height * width, device, installed, views)
    on_cpu = choice.name in ("raster", "embree")
    if on_cpu and device != "cpu":
        logger.warning("Rendering with %s on the CPU: %s", choice.name, choice.reason)
    return get(choice.name, shading=shading, device="cpu" if on_cpu else device)
