"""One view as a strip of pictures: the photograph beside all that the shape says of it.

Material is shown where it is opaque; a normal is a colour, (n + 1) / 2, in the unit frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from gimbal_nero.capture import Bytes, View
from gimbal_nero.learning.port import Fields
from gimbal_nero.watching.choosing import SourceOf
from gimbal_nero.watching.colours import coloured, encoded_srgb, grey, sheet
from gimbal_nero.watching.material import surface_value
from gimbal_nero.watching.rendering import Floats, Seen, see

_OPAQUE = 0.5
LABELS = {
    "photograph": "the photograph",
    "render": "what the shape renders",
    "inner": "the part from within the unit sphere",
    "outer": "the part from the background",
    "opacity": "weight within the sphere: white is the object",
    "normal": "normals in the unit frame, as (n + 1) / 2",
    "depth": "depth along the ray: bright is near",
    "occlusion": "how far a reflected ray is blocked by the object: white is blocked",
    "roughness": "roughness: black is a mirror",
    "metallic": "metallic: white is metal",
    "albedo": "albedo, encoded as sRGB",
}
"""What each picture of a strip shows."""


@dataclass(frozen=True, kw_only=True)
class Renderer:
    """What renders a view.

    Attributes:
        fields: The renderer.
        module: The networks.
        source_of: Makes rays of views.
        at_once: Rays of one forward pass.
    """

    fields: Fields
    module: nn.Module
    source_of: SourceOf
    at_once: int


def reduced(view: View, longest: int) -> View:
    """Return a view scaled down until its longest side is `longest`; the mask is left out."""
    import cv2

    camera = view.camera
    scale = min(1.0, longest / max(camera.height, camera.width))
    height, width = (max(1, round(scale * side)) for side in (camera.height, camera.width))
    image = cv2.resize(view.image, (width, height), interpolation=cv2.INTER_AREA)
    return View(
        name=view.name,
        image=np.asarray(image, np.uint8),
        camera=camera.resized(height, width),
        cam2world=view.cam2world,
    )


def look_at_view(renderer: Renderer, view: View) -> Seen:
    """Render every pixel of a view, row by row."""
    count = view.camera.height * view.camera.width
    rays = renderer.source_of([view]).fetch(np.arange(count))
    return see(renderer.fields, renderer.module, rays, renderer.at_once)


def panels(view: View, seen: Seen) -> dict[str, Bytes]:
    """Return the pictures of a view, [H, W, 3] each, by the names of `LABELS`."""
    shape = (view.camera.height, view.camera.width)
    found = {
        "photograph": view.image,
        "render": _bytes(seen.colour, shape),
        "inner": _bytes(seen.inner, shape),
        "outer": _bytes(seen.outer, shape),
        "opacity": grey(seen.opacity.reshape(shape)),
        "normal": _normals(seen).reshape(*shape, 3),
        "depth": _depth(seen).reshape(*shape, 3),
    }
    return found | _materials(seen, shape)


def strip(pictures: Mapping[str, Bytes]) -> Bytes:
    """Return pictures side by side with their names above them."""
    return sheet([list(pictures.items())])


def _normals(seen: Seen) -> Bytes:
    length = np.linalg.norm(seen.normal, axis=-1, keepdims=True)
    colour = (seen.normal / np.maximum(length, 1e-6) + 1.0) / 2.0
    return _as_bytes(np.where(seen.opacity[:, None] >= _OPAQUE, colour, 0.0))


def _depth(seen: Seen) -> Bytes:
    """Return nearness by colour between the nearest and the furthest opaque ray."""
    solid = seen.opacity >= _OPAQUE
    depth = seen.depth / np.maximum(seen.opacity, 1e-6)
    if not solid.any():
        return np.zeros((len(depth), 3), np.uint8)
    low, high = depth[solid].min(), depth[solid].max()
    near = 1.0 - (depth - low) / max(high - low, 1e-6)
    return coloured(near[:, None], solid[:, None])[:, 0]


def _materials(seen: Seen, shape: tuple[int, int]) -> dict[str, Bytes]:
    solid = (seen.opacity >= _OPAQUE)[:, None]
    found = {}
    for name in ("occlusion", "roughness", "metallic"):
        if name in seen.material:
            value = np.where(solid, surface_value(seen, name), 0.0)
            found[name] = grey(value.reshape(shape))
    if "albedo" in seen.material:
        linear = np.where(solid, np.clip(surface_value(seen, "albedo"), 0.0, 1.0), 0.0)
        found["albedo"] = _bytes(encoded_srgb(linear), shape)
    return found


def _bytes(srgb: Floats, shape: tuple[int, int]) -> Bytes:
    return _as_bytes(srgb).reshape(*shape, 3)


def _as_bytes(values: Floats) -> Bytes:
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return np.rint(np.clip(finite, 0.0, 1.0) * 255).astype(np.uint8)
