"""Render an object under a light by Mitsuba 3, variant `scalar_rgb`.

Everything goes in and comes out in our conventions: OpenCV poses, pixel centres at +.5, linear RGB.
Mitsuba's camera looks along +z with +x to the left of the image and +y upwards, so its pose is the
OpenCV one with the first two axes turned round. The scalar variant needs no compiler at run time,
and blocks of a fixed size make pictures independent of the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nero.errors import SynthesisError
from gimbal_nero.synthesis.objects import ShadedMesh
from gimbal_nero.synthesis.settings import MaterialSettings, SyntheticSettings
from gimbal_vision.cameras.pinhole import Pinhole

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_BLOCK = 16
_MITSUBA_FROM_OPENCV = np.diag([-1.0, -1.0, 1.0, 1.0])


class MitsubaScene:
    """An object under one light, ready to be rendered from many places.

    Args:
        mesh: The object.
        light: [H, W, 3] in the convention of `lights`.
        settings: Material, paths of a pixel, what is behind the object.
        threads: Cores to use; never changes a picture.

    Raises:
        SynthesisError: Mitsuba is not installed.
    """

    def __init__(
        self, mesh: ShadedMesh, light: Floats, settings: SyntheticSettings, threads: int
    ) -> None:
        self._mi = mitsuba(threads)
        self._samples = settings.samples
        self._scene = self._mi.load_dict(
            {
                "type": "scene",
                "integrator": {
                    "type": "path",
                    "max_depth": settings.bounces,
                    "hide_emitters": settings.background == "black",
                    "block_size": _BLOCK,
                },
                "light": {"type": "envmap", "bitmap": self._mi.Bitmap(light)},
                "object": self._shape(mesh, settings.material),
            }
        )

    def render(self, lens: Pinhole, cam2world: Doubles, seed: int) -> Floats:
        """Return linear radiance [H, W, 3].

        Args:
            lens: With square pixels and a central principal point.
            cam2world: [4, 4], OpenCV axes.
            seed: Of the light paths.
        """
        sensor = self._mi.load_dict(sensor_dict(self._mi, lens, cam2world))
        image = self._mi.render(self._scene, sensor=sensor, spp=self._samples, seed=seed)
        return np.asarray(image, np.float32)[..., :3]

    def _shape(self, mesh: ShadedMesh, material: MaterialSettings) -> Any:
        properties = self._mi.Properties()
        properties["bsdf"] = self._mi.load_dict(bsdf_dict(material))
        shape = self._mi.Mesh(
            "object",
            vertex_count=len(mesh.vertices),
            face_count=len(mesh.faces),
            has_vertex_normals=True,
            props=properties,
        )
        values = self._mi.traverse(shape)
        values["vertex_positions"] = mesh.vertices.astype(np.float32).ravel()
        values["vertex_normals"] = mesh.normals.astype(np.float32).ravel()
        values["faces"] = mesh.faces.astype(np.uint32).ravel()
        values.update()
        return shape


def mitsuba(threads: int) -> Any:
    """Return Mitsuba's module, set to variant `scalar_rgb`.

    Raises:
        SynthesisError: It is not installed.
    """
    try:
        import drjit
        import mitsuba as mi
    except ImportError as error:
        raise SynthesisError(
            f"pictures are made by Mitsuba 3, which cannot be imported: {error}",
            "pip install 'gimbal[synthesis]'",
        ) from error
    if mi.variant() != "scalar_rgb":
        mi.set_variant("scalar_rgb")
    drjit.set_thread_count(threads)
    return mi


def sensor_dict(mi: Any, lens: Pinhole, cam2world: Doubles) -> dict[str, Any]:
    """Return Mitsuba's description of a camera; a pixel is the mean over its own square."""
    return {
        "type": "perspective",
        "fov": lens.hfov_deg,
        "fov_axis": "x",
        "near_clip": 1e-3,
        "far_clip": 1e4,
        "to_world": mi.ScalarTransform4f(cam2world @ _MITSUBA_FROM_OPENCV),
        "film": {
            "type": "hdrfilm",
            "width": lens.width,
            "height": lens.height,
            "pixel_format": "rgb",
            "component_format": "float32",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent"},
    }


def bsdf_dict(material: MaterialSettings) -> dict[str, Any]:
    """Return Mitsuba's description of a material; F0 of a dielectric is .04."""
    return {
        "type": "principled",
        "base_color": {"type": "rgb", "value": list(material.albedo)},
        "metallic": material.metallic,
        "roughness": material.roughness,
        "specular": 0.5,
    }
