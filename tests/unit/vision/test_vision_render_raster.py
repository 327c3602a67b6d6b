"""The z-buffer: closed-form depth, the camera plane, determinism, what is returned."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from render_support import (
    FORWARD,
    brute_force,
    bumpy_sphere,
    icosphere,
    mesh_of,
    odd_camera,
    quad,
    soup,
    sphere_views,
)

from gimbal_vision.cameras import PinholeCameras, look_at
from gimbal_vision.errors import RenderError
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering import OUTPUTS, Rendering, get
from gimbal_vision.rendering.raster import RasterRenderer
from gimbal_vision.rendering.shading import shade
from gimbal_vision.rendering.zbuffer import project, rasterise

EMPTY_MESH = Mesh(vertices=np.zeros((0, 3)), faces=np.zeros((0, 3), np.int32))


@pytest.fixture(params=["raster", "embree"])
def renderer(request):
    return get(request.param)


def test_plane_depth_is_its_z_wherever_the_principal_point_lies(renderer):
    """A plane z = 2 has z-depth 2 at every pixel; distance along the ray would grow outwards."""
    plane = quad([(-9, -9, 2), (9, -9, 2), (9, 9, 2), (-9, 9, 2)])
    rendering = renderer.render(plane, odd_camera())
    assert rendering.mask.all()
    np.testing.assert_allclose(rendering.depth, 2.0, rtol=3e-7)
    np.testing.assert_allclose(rendering.normal, np.broadcast_to([0, 0, -1], (1, 47, 63, 3)))


def test_tilted_plane_depth_is_perspective_correct(renderer):
    """Where z = 2 + x/2, z = 2 / (1 - (u - cx) / (2 fx)) at column centre u."""
    plane = quad([(-3, -9, 0.5), (3, -9, 3.5), (3, 9, 3.5), (-3, 9, 0.5)])
    cameras = odd_camera()
    u = (np.arange(cameras.width) + 0.5 - cameras.K[0, 0, 2]) / cameras.K[0, 0, 0]
    rendering = renderer.render(plane, cameras)
    expected = np.broadcast_to(2 / (1 - u / 2), rendering.depth.shape)
    np.testing.assert_allclose(rendering.depth[rendering.mask], expected[rendering.mask], rtol=1e-6)
    assert rendering.mask.mean() > 0.9


def test_pixels_whose_centre_lies_inside_a_rectangle_are_hit():
    """With fx != fy and an off-centre K: exactly the centres inside, none by half a pixel."""
    cameras = odd_camera()
    fx, fy, cx, cy = cameras.K[0, [0, 1, 0, 1], [0, 1, 2, 2]]
    left, right, top, bottom = 10.2, 41.7, 8.9, 30.4
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    mesh = quad([((u - cx) / fx, (v - cy) / fy, 1.0) for u, v in corners])
    u, v = np.arange(cameras.width) + 0.5, np.arange(cameras.height) + 0.5
    inside = ((u > left) & (u < right))[None, :] & ((v > top) & (v < bottom))[:, None]
    np.testing.assert_array_equal(get("raster").render(mesh, cameras).mask[0], inside)


def test_sphere_depth_matches_the_closed_form(renderer):
    cameras = sphere_views(3, 81, 65)
    origins, rays = cameras.rays(np.float64)
    o = origins[:, None, None]
    a, b = (rays**2).sum(-1), (rays * o).sum(-1)
    root = b**2 - a * ((o**2).sum(-1) - 0.25)
    rendering = renderer.render(icosphere(6), cameras)
    inner = root > 0.05
    expected = (-b - np.sqrt(np.maximum(root, 0))) / a
    assert rendering.mask[inner].all()
    assert not rendering.mask[root < 0].any()
    np.testing.assert_allclose(rendering.depth[inner], expected[inner], atol=4e-4)


def test_box_shows_its_front_face(renderer):
    box = mesh_of(trimesh.creation.box(extents=(1, 1, 1)))
    pose = look_at((0.0, 0.0, 3.0), up=(0, 1, 0))
    cameras = PinholeCameras.from_fov(pose[None], 30.0, 33, 41)
    rendering = renderer.render(box, cameras)
    np.testing.assert_allclose(rendering.depth[rendering.mask], 2.5, rtol=1e-6)
    np.testing.assert_allclose(rendering.normal[rendering.mask][:, 2], 1.0, atol=1e-6)


def test_camera_inside_sees_the_whole_of_the_mesh(renderer):
    """Faces are two-sided and the ring of faces that crosses the camera plane is drawn."""
    poses = look_at(np.array([[0.1, 0.0, 0.05], [0.0, 0.2, 0.0]]), (0.3, 0.4, 0.0))
    cameras = PinholeCameras.from_fov(poses, 110.0, 45, 45)
    rendering = renderer.render(icosphere(3), cameras)
    assert rendering.mask.all()
    assert (rendering.depth > 0.01).all() and (rendering.depth < 0.9).all()
    _, rays = cameras.rays(np.float64)
    assert ((rendering.normal * rays).sum(-1) < 0).all()


def test_mesh_behind_the_camera_is_not_seen(renderer):
    mesh = icosphere(2)
    mesh.vertices[:, 2] -= 3.0
    assert not renderer.render(mesh, odd_camera()).mask.any()


@pytest.mark.parametrize("tip", [(0.0, 0.0, 4.0), (1.0, -0.8, 5.0), (0.2, 0.1, 0.5)])
def test_triangle_through_the_camera_plane_matches_ray_casting(tip):
    """Corners behind the camera must neither vanish the face nor mirror it."""
    mesh = Mesh(
        vertices=np.array([tip, (-1.0, 0.4, -2.0), (1.2, 0.7, -1.0)]),
        faces=np.array([[0, 1, 2]], np.int32),
    )
    cameras = odd_camera()
    rendering = get("raster").render(mesh, cameras)
    depth, face, unsure = brute_force(mesh, cameras)
    assert (face >= 0).any()
    np.testing.assert_array_equal(rendering.face_id[~unsure], face[~unsure])
    hit = rendering.mask & (face >= 0)
    np.testing.assert_allclose(rendering.depth[hit], depth[hit], rtol=1e-6)


def test_neighbours_leave_no_crack_when_pixel_centres_lie_on_edges():
    """A grid whose every edge and diagonal passes through pixel centres covers each pixel."""
    n = 17
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2) + 0.5
    vertices = np.concatenate([(grid - 8.3) / 31.7, np.ones((n * n, 1))], axis=1) * 1.7
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + n + 1], 1),
            np.stack([corner, corner + n + 1, corner + n], 1),
        ]
    )
    K = np.array([[31.7, 0, 8.3], [0, 31.7, 8.3], [0, 0, 1]])
    mesh = Mesh(vertices=vertices, faces=faces.astype(np.int32))
    mask = get("raster").render(mesh, PinholeCameras(K, FORWARD, n, n), ("mask",)).mask
    assert mask[0, 1:-1, 1:-1].all()


def test_a_face_seen_exactly_edge_on_is_not_drawn():
    """Its weights and volume are rounding only; their ratio would be a depth out of nowhere."""
    box = mesh_of(trimesh.creation.box(extents=(1, 1, 1)))
    eyes = np.array([[0.5, 0.2, 3.0], [0.5, 0.5, 3.0], [0.1, -0.5, 2.9]])
    targets = eyes * [1, 1, 0]
    cameras = PinholeCameras.from_fov(look_at(eyes, targets, up=(0, 1, 0)), 40.0, 64, 64)
    rendering = get("raster").render(box, cameras)
    for n, eye in enumerate(eyes):
        depth = rendering.depth[n][rendering.mask[n]]
        np.testing.assert_allclose(depth, eye[2] - 0.5, rtol=1e-6)


def test_coincident_faces_show_the_smallest_id():
    corners = np.array([(-1.0, -1.0, 1.0), (1.0, -1.0, 1.0), (0.0, 1.0, 1.0)])
    mesh = Mesh(vertices=corners, faces=np.array([[2, 0, 1], [0, 1, 2], [1, 0, 2]], np.int32))
    rendering = get("raster").render(mesh, odd_camera(), ("face_id",))
    assert set(np.unique(rendering.face_id)) == {-1, 0}


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), size=st.floats(0.01, 3.0))
@settings(max_examples=40, deadline=None)
def test_random_triangles_match_a_brute_force_renderer(seed, count, size):
    """Any triangles, in front of, behind and through the camera plane."""
    mesh = soup(count, seed, size)
    mesh.vertices[:, 2] += 0.6
    cameras = odd_camera(19, 23)
    depth, face, unsure = brute_force(mesh, cameras)
    rendering = RasterRenderer(threads=1).render(mesh, cameras)
    np.testing.assert_array_equal(rendering.face_id[~unsure], face[~unsure])
    hit = ~unsure & (face >= 0)
    np.testing.assert_allclose(rendering.depth[hit], depth[hit], rtol=1e-5)


@pytest.mark.parametrize(("views", "height", "width"), [(1, 61, 47), (3, 40, 40), (9, 24, 31)])
def test_images_are_the_same_for_any_number_of_threads(views, height, width):
    """Down to the last bit, however rows and views are shared."""
    mesh, cameras = bumpy_sphere(4), sphere_views(views, height, width)
    one, *others = (RasterRenderer(threads=t).render(mesh, cameras) for t in (1, 2, 3, 7))
    for other in others:
        for name in OUTPUTS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_one_pixel_image_and_a_wide_one():
    mesh = quad([(-9, -9, 2), (9, -9, 2), (9, 9, 2), (-9, 9, 2)])
    for height, width in ((1, 1), (1, 301), (301, 1)):
        K = np.array([[50.0, 0, width / 2], [0, 50.0, height / 2], [0, 0, 1]])
        cameras = PinholeCameras(K, FORWARD, height, width)
        assert RasterRenderer(threads=2).render(mesh, cameras).mask.all()


def test_only_what_is_asked_for_is_returned(renderer):
    rendering = renderer.render(icosphere(1), sphere_views(2, 16, 16), ("depth",))
    assert rendering.outputs == ("depth",)
    with pytest.raises(RenderError, match="rgb"):
        _ = rendering.rgb


def test_shapes_and_types_follow_the_contract(renderer):
    rendering = renderer.render(icosphere(2), sphere_views(2, 15, 22))
    kinds = {
        name: (getattr(rendering, name).shape, getattr(rendering, name).dtype) for name in OUTPUTS
    }
    assert kinds == {
        "depth": ((2, 15, 22), np.float32),
        "normal": ((2, 15, 22, 3), np.float32),
        "mask": ((2, 15, 22), np.bool_),
        "face_id": ((2, 15, 22), np.int32),
        "rgb": ((2, 15, 22, 3), np.uint8),
    }
    assert (rendering.face_id[~rendering.mask] == -1).all()
    assert (rendering.depth[~rendering.mask] == 0).all()
    assert (rendering.normal[~rendering.mask] == 0).all()
    np.testing.assert_allclose(
        np.linalg.norm(rendering.normal[rendering.mask], axis=-1), 1, rtol=1e-5
    )


@pytest.mark.parametrize(
    "mesh",
    [
        EMPTY_MESH,
        soup(1, 0).__class__(vertices=np.ones((3, 3)), faces=np.array([[0, 1, 2]], np.int32)),
    ],
)
def test_a_mesh_without_area_gives_empty_images(renderer, mesh):
    rendering = renderer.render(mesh, sphere_views(2, 8, 8))
    assert not rendering.mask.any()
    assert (rendering.face_id == -1).all()
    assert (rendering.rgb == 0).all()


def test_no_cameras_give_arrays_of_length_zero(renderer):
    cameras = sphere_views(1, 8, 9)[[]]
    assert renderer.render(icosphere(1), cameras).rgb.shape == (0, 8, 9, 3)


def test_non_finite_vertices_hide_only_their_own_faces():
    mesh = icosphere(2)
    mesh.vertices[0] = np.nan
    mesh.vertices[1] = np.inf
    rendering = get("raster").render(mesh, sphere_views(4, 32, 32))
    gone = np.isin(mesh.faces, (0, 1)).any(axis=1)
    assert rendering.mask.mean() > 0.2
    assert not gone[rendering.face_id[rendering.mask]].any()


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"faces": np.array([[0, 1, 99]], np.int32)}, "does not exist"),
        ({"faces": np.array([[0, 1, -1]], np.int32)}, "does not exist"),
        ({"vertices": np.zeros((4, 2))}, "vertices"),
        ({"vertex_colors": np.zeros((2, 3), np.uint8)}, "vertex_colors"),
        ({"uv": np.zeros((9, 3, 2), np.float32)}, "uv"),
        ({"texture": np.zeros((4, 4), np.uint8)}, "texture"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_any_kernel_reads_them(renderer, broken, named):
    arrays = {"vertices": np.zeros((4, 3)), "faces": np.array([[0, 1, 2]], np.int32)} | broken
    with pytest.raises(RenderError, match=named) as caught:
        renderer.render(Mesh(**arrays), odd_camera())
    assert caught.value.remedy


def test_read_only_meshes_do_not_compile_the_kernels_again():
    """Meshes mapped from files are read-only; a second compilation would take seconds."""
    mesh, cameras = bumpy_sphere(2), sphere_views(1, 16, 16)
    get("raster").render(mesh, cameras)
    before = [len(kernel.signatures) for kernel in (project, rasterise, shade)]
    for array in (mesh.vertices, mesh.faces, mesh.vertex_colors):
        array.flags.writeable = False
    get("raster").render(mesh, cameras)
    assert [len(kernel.signatures) for kernel in (project, rasterise, shade)] == before


def test_an_unknown_output_is_refused(renderer):
    with pytest.raises(RenderError, match="'albedo'") as caught:
        renderer.render(icosphere(1), odd_camera(), ("depth", "albedo"))
    assert "face_id" in caught.value.remedy


def test_rendering_says_what_it_holds():
    assert Rendering({}).outputs == ()
