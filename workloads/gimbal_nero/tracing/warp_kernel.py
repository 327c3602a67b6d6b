# mypy: ignore-errors
"""The kernel that finds the first face of a ray.

Warp reads the annotations of a kernel when it is defined, so they are not postponed here, and the
module can only be imported where warp is installed. They are values, not types, hence no checking.
"""

import warp as wp


@wp.kernel
def first_face(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
) -> None:
    """Write the face that one ray meets first, or -1."""
    ray = wp.tid()
    hit = wp.mesh_query_ray(mesh, origins[ray], directions[ray], 1.0e30)
    faces[ray] = -1
    if hit.result:
        faces[ray] = hit.face
