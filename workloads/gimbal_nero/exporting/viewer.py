"""An exported object in its light as a page that asks nothing of the network.

three.js draws it; trimesh, whose own viewer needs it too, brings it along with its loader of glTF.
Three blurs the light beforehand for a few roughnesses (split sum), so what parts of an object
reflect of each other is not shown, nor is any shadow.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from gimbal.pages.markup import Html, el, join, script_json
from gimbal.pages.one_file import content_policy, script_safe
from gimbal_nero.exporting.environment import Floats
from gimbal_nero.exporting.errors import ExportError

_TEMPLATE = ("templates/viewer.zip", "viewer.html.template")
_FIRST, _LAST = "<script>", "THREE.GLTFLoader=GLTFLoader;})();"
_LEAST_ROWS, _MOST_ROWS = 64, 128
"""Of the light in the page, powers of two, as three.js blurs no others well."""
_BRIGHTEST = 60_000.0
"""Half floats end at 65504."""
_KEYS = (
    "Drag or use the arrow keys to turn, the wheel (after a click) or + and − to zoom, 0 to reset."
)


@dataclass(frozen=True, kw_only=True)
class Viewpoint:
    """Where the camera is at first.

    Attributes:
        azimuth_deg: About z of the upright frame, 0 along +x.
        elevation_deg: Above its horizon.
        distance: From the centre of the object's box, in halves of the box's diagonal.
    """

    azimuth_deg: float = -60.0
    elevation_deg: float = 20.0
    distance: float = 2.7


def viewer_html(
    glb: bytes, light: Floats | None, title: str, viewpoint: Viewpoint | None = None
) -> str:
    """Return a whole page.

    Args:
        glb: A GLB file whose node turns it to y up, as `gltf.write_glb` writes it.
        light: [H, 2H, 3] linear, z-up (`exporting.environment`); None: an overcast sky.
        title: Of the page.
        viewpoint: Where the camera is at first.

    Raises:
        ExportError: The installed trimesh brings no three.js.
    """
    scripts = viewer_scripts()
    policy = content_policy(scripts)
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", Html(_asset("viewer_page.css"))),
    )
    shown = el("main", el("h1", title), viewer_body(glb, light, title, viewpoint))
    body = el("body", shown, [el("script", Html(text)) for text in scripts])
    return join(Html("<!doctype html>\n"), el("html", head, body, lang="en"))


def viewer_body(
    glb: bytes, light: Floats | None, title: str, viewpoint: Viewpoint | None = None
) -> Html:
    """Return the viewer as a figure for a page that runs `viewer_scripts` after it."""
    first = viewpoint or Viewpoint()
    view = {
        "azimuth": np.deg2rad(first.azimuth_deg).item(),
        "elevation": np.deg2rad(first.elevation_deg).item(),
        "distance": first.distance,
    }
    told = {"glb": _base64(glb), "light": _light(light), "view": view}
    label = f"{title} in three dimensions, in its light. {_KEYS}"
    return el(
        "figure",
        el("style", Html(_asset("viewer.css"))),
        el(
            "div",
            el("canvas", tabindex=0, role="img", aria_label=label),
            el("p", "Drawing needs JavaScript and WebGL.", class_="said", role="status"),
            class_="stage",
        ),
        el(
            "figcaption",
            el("label", el("input", type="checkbox"), " Show the light around it"),
            el("span", _KEYS),
        ),
        el("script", Html(script_json(told)), type="application/json"),
        class_="gimbal-viewer",
    )


def viewer_scripts() -> tuple[str, ...]:
    """Return the scripts that fill every viewer on a page, in order, safe within their elements.

    Raises:
        ExportError: The installed trimesh brings no three.js.
    """
    return script_safe(_three()), script_safe(_asset("viewer.js"))


@lru_cache(maxsize=1)
def _three() -> str:
    """Return three.js and its loader of glTF, out of trimesh's own viewer."""
    from trimesh import resources as files
    from trimesh import util

    archive, name = _TEMPLATE
    try:
        members: Any = util.decompress(files.get_bytes(archive), file_type="zip")
        page = members[name].read().decode("utf-8")
        start = page.index(_FIRST) + len(_FIRST)
        return str(page[start : page.index(_LAST, start) + len(_LAST)])
    except (OSError, LookupError, ValueError) as error:
        raise ExportError(
            f"the installed trimesh brings no three.js where it is looked for: {error}",
            "install the version of trimesh that constraints.txt names",
        ) from error


def _light(light: Floats | None) -> dict[str, Any]:
    """Return a light as three.js takes it: half floats, RGBA, the first row at the bottom."""
    import cv2

    picture: Any = _overcast() if light is None else np.asarray(light, np.float32)
    rows = min(max(1 << (len(picture).bit_length() - 1), _LEAST_ROWS), _MOST_ROWS)
    if rows != len(picture):
        way = cv2.INTER_AREA if rows < len(picture) else cv2.INTER_LINEAR
        # Columns go around: three copies side by side, so that the middle one's ends are stretched
        # into their neighbours.
        wide = cv2.resize(np.tile(picture, (1, 3, 1)), (6 * rows, rows), interpolation=way)
        picture = wide[:, 2 * rows : 4 * rows]
    four = np.ones((rows, 2 * rows, 4), np.float16)
    four[..., :3] = np.clip(picture[::-1], 0.0, _BRIGHTEST)
    return {"width": 2 * rows, "height": rows, "halves": _base64(four.astype("<f2").tobytes())}


def _overcast() -> Floats:
    column = np.linspace(1.0, 0.25, _LEAST_ROWS, dtype=np.float32)
    return np.broadcast_to(column[:, None, None], (_LEAST_ROWS, 2 * _LEAST_ROWS, 3)).copy()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")
