"""An exported GLB as Mitsuba renders it."""

from __future__ import annotations

import numpy as np


def textured(mi, read):
    """Return Mitsuba's mesh of what a GLB says, in the frame that its numbers are in."""

    def picture(values, raw):
        bitmap = mi.Bitmap(np.ascontiguousarray(values))
        bitmap.set_srgb_gamma(not raw)
        return {"type": "bitmap", "bitmap": bitmap, "raw": raw}

    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(
        {
            "type": "principled",
            "base_color": picture(read.base_colour, False),
            "roughness": picture(read.roughness[..., None], True),
            "metallic": picture(read.metallic[..., None], True),
            "specular": 0.5,
        }
    )
    counts = {"vertex_count": len(read.vertices), "face_count": len(read.faces)}
    shape = mi.Mesh(
        "glb", **counts, has_vertex_normals=True, has_vertex_texcoords=True, props=properties
    )
    values = mi.traverse(shape)
    values["vertex_positions"] = read.vertices.astype(np.float32).ravel()
    values["vertex_normals"] = read.normals.astype(np.float32).ravel()
    values["vertex_texcoords"] = (read.uv * [1, -1] + [0, 1]).astype(np.float32).ravel()
    values["faces"] = read.faces.astype(np.uint32).ravel()
    values.update()
    return shape
