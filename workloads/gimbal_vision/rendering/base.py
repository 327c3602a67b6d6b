"""What every renderer promises: the protocol, what it returns, how colour is lit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import numpy as np

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.errors import RenderError
from gimbal_vision.meshes import Mesh

Output = Literal["depth", "normal", "mask", "face_id", "rgb"]
OUTPUTS: tuple[Output, ...] = get_args(Output)

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ids = np.ndarray[Any, np.dtype[np.int32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Shading:
    """How surface colour becomes pixel colour.

    The colour of a surface comes from its texture (bilinear, repeating, no mip-maps), else from
    its vertex colours, else it is `surface`. It is multiplied by `ambient + (1 - ambient) * c`,
    where c is the cosine between the normal that faces the camera and the light.

    Attributes:
        mode: "unlit" leaves the colour as it is; "headlight" shines from the camera; "lambert"
            shines from `light`.
        light: Direction towards the light in world coordinates, for "lambert".
        ambient: Share of the colour that remains where no light falls, 0 to 1.
        surface: Colour of a mesh without colours, 0 to 255.
        background: Colour where nothing is hit, 0 to 255.
    """

    mode: Literal["unlit", "headlight", "lambert"] = "headlight"
    light: tuple[float, float, float] = (0.3, 0.2, 1.0)
    ambient: float = 0.25
    surface: tuple[int, int, int] = (200, 200, 200)
    background: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if self.mode not in ("unlit", "headlight", "lambert"):
            raise RenderError(
                f"There is no shading {self.mode!r}", "Choose unlit, headlight or lambert."
            )
        if not 0.0 <= self.ambient <= 1.0:
            raise RenderError(f"ambient={self.ambient} is no share", "Choose between 0 and 1.")
        if not np.linalg.norm(self.light) > 0:
            raise RenderError("The light comes from no direction", "Give a non-zero `light`.")
        if not all(0 <= c <= 255 for c in (*self.surface, *self.background)):
            raise RenderError("A colour lies outside 0 to 255", "Give colours as 8-bit numbers.")


@dataclass(frozen=True)
class Rendering:
    """The images of N views; only those that were asked for.

    Reading an image that was not asked for raises `RenderError`.

    Attributes:
        images: Output name to array.
    """

    images: Mapping[Output, Array] = field(repr=False)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The names of the images that are there."""
        return tuple(self.images)

    @property
    def depth(self) -> Floats:
        """[N, H, W] float32 z-depth in world units; 0 where nothing was hit."""
        return self._image("depth")

    @property
    def normal(self) -> Floats:
        """[N, H, W, 3] float32 unit face normals, world, facing the camera; 0 where no hit."""
        return self._image("normal")

    @property
    def mask(self) -> Bools:
        """[N, H, W] bool, true where a face was hit."""
        return self._image("mask")

    @property
    def face_id(self) -> Ids:
        """[N, H, W] int32 index into `mesh.faces`; -1 where nothing was hit."""
        return self._image("face_id")

    @property
    def rgb(self) -> Bytes:
        """[N, H, W, 3] uint8."""
        return self._image("rgb")

    def _image(self, name: Output) -> Array:
        if name not in self.images:
            raise RenderError(
                f"{name!r} was not rendered, only {', '.join(self.images) or 'nothing'}",
                f'Ask for it: render(..., outputs=(..., "{name}")).',
            )
        return self.images[name]


class Renderer(Protocol):
    """Turns a mesh and cameras into images. Renderers may be shared among threads."""

    @property
    def name(self) -> str:
        """The name `rendering.get` knows it by."""
        ...

    def render(
        self, mesh: Mesh, cameras: PinholeCameras, outputs: Sequence[Output] = OUTPUTS
    ) -> Rendering:
        """Render every view.

        Faces are opaque and two-sided; all that has z > 0 in the camera is seen, there is neither
        a near nor a far plane.

        Args:
            mesh: A surface in world coordinates; an empty one gives empty images.
            cameras: N views; none give arrays of length 0.
            outputs: What to compute; nothing else is.

        Raises:
            RenderError: For unknown outputs, a mesh whose arrays do not fit together, or a backend
                that is not installed.
        """
        ...


_PIXELS: dict[Output, tuple[tuple[int, ...], Any, int]] = {
    "depth": ((), np.float32, 0),
    "normal": ((3,), np.float32, 0),
    "mask": ((), np.bool_, 0),
    "face_id": ((), np.int32, -1),
    "rgb": ((3,), np.uint8, 0),
}


def allocate(outputs: Sequence[Output], views: int, height: int, width: int) -> dict[Output, Array]:
    """Return images for `outputs` whose every pixel is still to be written.

    Raises:
        RenderError: If an output is unknown.
    """
    for name in outputs:
        if name not in _PIXELS:
            raise RenderError(f"There is no output {name!r}", f"Choose from {', '.join(OUTPUTS)}.")
    kinds = {name: _PIXELS[name] for name in outputs}
    return {
        name: np.empty((views, height, width, *shape), dtype)
        for name, (shape, dtype, _) in kinds.items()
    }


def clear(images: dict[Output, Array], background: tuple[int, int, int]) -> None:
    """Make every pixel of `images` one that hit nothing."""
    for name, image in images.items():
        image[...] = background if name == "rgb" else _PIXELS[name][2]


def check_mesh(mesh: Mesh) -> None:
    """Refuse arrays that would make a kernel read beyond its memory.

    Raises:
        RenderError: Naming what does not fit.
    """
    problems = []
    if mesh.vertices.ndim != 2 or mesh.vertices.shape[1] != 3:
        problems.append(f"vertices have shape {mesh.vertices.shape}, not [V, 3]")
    if mesh.faces.ndim != 2 or mesh.faces.shape[1] != 3:
        problems.append(f"faces have shape {mesh.faces.shape}, not [F, 3]")
    elif len(mesh.faces) and not (mesh.faces.min() >= 0 and mesh.faces.max() < len(mesh.vertices)):
        problems.append("a face uses a vertex that does not exist")
    if mesh.vertex_colors is not None and mesh.vertex_colors.shape != (len(mesh.vertices), 3):
        problems.append(f"vertex_colors have shape {mesh.vertex_colors.shape}, not [V, 3]")
    if mesh.uv is not None and mesh.uv.shape != (len(mesh.faces), 3, 2):
        problems.append(f"uv have shape {mesh.uv.shape}, not [F, 3, 2]")
    if mesh.texture is not None and (mesh.texture.ndim != 3 or mesh.texture.shape[2] != 3):
        problems.append(f"the texture has shape {mesh.texture.shape}, not [H, W, 3]")
    if problems:
        raise RenderError(
            f"The mesh cannot be rendered: {'; '.join(problems)}",
            "Load it with gimbal_vision.meshes.load_mesh, or mend these arrays.",
        )


def frozen(array: Any, dtype: Any) -> Array:
    """Return a contiguous read-only view or copy.

    Numba compiles a kernel anew for each mixture of writable and read-only arguments (seconds);
    meshes come as both, so kernels only ever see the one kind that can always be had.
    """
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view
