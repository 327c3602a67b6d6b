# mypy: ignore-errors
"""The ray-casting kernel of the warp backend.

Warp reads the annotations of a kernel when it is defined, so they are not postponed here, and the
module can only be imported where warp is installed. They are values, not types, hence no checking.
"""

import warp as wp


@wp.kernel
def cast(
    mesh: wp.uint64,
    rays: wp.array(dtype=wp.mat33),
    eyes: wp.array(dtype=wp.vec3),
    centres: wp.array(dtype=wp.vec2),
    width: int,
    depth: wp.array2d(dtype=float),
    ids: wp.array2d(dtype=wp.int32),
) -> None:
    """Cast the ray through one pixel centre; see `views.View` for `rays`, `eyes`, `centres`."""
    view, pixel = wp.tid()
    u = float(pixel % width) - centres[view][0]
    v = float(pixel / width) - centres[view][1]
    ray = rays[view] * wp.vec3(u, v, 1.0)
    length = wp.length(ray)
    hit = wp.mesh_query_ray(mesh, eyes[view], ray / length, 1.0e30)
    ids[view, pixel] = -1
    depth[view, pixel] = 0.0
    if hit.result:
        ids[view, pixel] = hit.face
        depth[view, pixel] = hit.t / length
