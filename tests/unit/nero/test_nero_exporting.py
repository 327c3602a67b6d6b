"""A learnt material keeps its place, its colour and its meaning in every file it is written to."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import trimesh
from scipy.ndimage import map_coordinates

from gimbal_nero.exporting import environment, gltf
from gimbal_nero.exporting.arrays import FILES, read_arrays, write_arrays
from gimbal_nero.exporting.baking import bake
from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.exporting.material import appearance_at
from gimbal_nero.exporting.unwrapping import unwrap
from gimbal_vision.meshes.model import Mesh

SIDE = 96
LIPSCHITZ = 1.5
"""Of the albedo below."""


def ball():
    made = trimesh.creation.icosphere(subdivisions=2)
    return Mesh(np.asarray(made.vertices) * 1.0, np.asarray(made.faces, np.int32))


def material(points):
    """Albedo follows the place; metallic is 1 above z = 0; alpha .04 to .36 along x."""
    alpha = 0.2 + 0.16 * points[:, :1]
    return 0.5 + 0.5 * np.sin(3 * points), (points[:, 2] > 0) * 1.0, alpha


@pytest.fixture(scope="module")
def surface():
    return unwrap(ball(), SIDE)


@pytest.fixture(scope="module")
def textures(surface):
    return bake(surface.mesh, surface.uv, material, SIDE)


def seen(picture, surface, count=20000):
    """Sample [S, S] bilinearly at random points of the surface; return samples and points."""
    rng = np.random.default_rng(5)
    faces = surface.mesh.faces[rng.integers(len(surface.mesh.faces), size=count)]
    weights = rng.dirichlet([0.4] * 3, count)
    points = np.einsum("nk,nkd->nd", weights, surface.mesh.vertices[faces])
    uv = np.einsum("nk,nkd->nd", weights, surface.uv[faces])
    side = len(picture)
    place = [(1 - uv[:, 1]) * side - 0.5, uv[:, 0] * side - 0.5]
    return map_coordinates(picture, place, order=1, mode="nearest"), points


def texel(textures):
    """The length on the unit sphere of one texel, about."""
    return float(np.sqrt(4 * np.pi / textures.covered.sum()))


def test_unwrapping_changes_no_face_and_gives_every_point_a_place_of_its_own(surface, textures):
    mesh = ball()
    np.testing.assert_array_equal(surface.source[surface.mesh.faces], mesh.faces)
    np.testing.assert_array_equal(surface.mesh.vertices, mesh.vertices[surface.source])
    assert surface.uv.min() >= 0
    assert surface.uv.max() <= 1
    assert len(surface.mesh.vertices) > len(mesh.vertices), "a closed surface must be cut"
    corners = surface.uv[surface.mesh.faces].astype(float)
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]).sum() / 2
    assert textures.covered.mean() == pytest.approx(area, rel=0.12), "charts would overlap"


def test_unwrapping_does_not_depend_on_the_size_or_place_of_the_mesh(surface):
    small = Mesh(1e-4 * ball().vertices + 7.0, ball().faces)
    again = unwrap(small, SIDE)
    assert abs(again.charts - surface.charts) <= 2
    assert again.uv.max() > 0.9


def test_every_point_shows_its_own_albedo_also_beside_seams(surface, textures):
    allowed = LIPSCHITZ * 2 * texel(textures)
    for channel in range(3):
        shown, points = seen(textures.albedo[..., channel], surface)
        assert np.abs(shown - material(points)[0][:, channel]).max() < allowed
    bare = np.where(textures.covered, textures.albedo[..., 0], 0)
    shown, points = seen(bare, surface)
    assert np.abs(shown - material(points)[0][:, 0]).max() > allowed, "undilated seams would show"


def test_roughness_is_the_root_of_alpha_and_metallic_stays_on_its_half(surface, textures):
    shown, points = seen(textures.roughness, surface)
    assert np.abs(shown - np.sqrt(material(points)[2][:, 0])).max() < 0.5 * texel(textures)
    shown, points = seen(textures.metallic, surface)
    sure = np.abs(points[:, 2]) > 2 * texel(textures)
    np.testing.assert_array_equal(shown[sure].round(6), material(points)[1][sure])


def test_a_face_smaller_than_a_texel_keeps_its_own_colour():
    """Two charts: a large one that is dark, and a speck that is bright."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 0], [5.1, 5, 0], [5, 5.1, 0.0]])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]], np.int32))
    uv = np.array(
        [[0, 0], [0.5, 0], [0, 0.5], [0.905, 0.905], [0.908, 0.905], [0.905, 0.908]], np.float32
    )
    made = bake(mesh, uv, lambda p: (np.repeat(p[:, :1] > 4, 3, 1), p[:, 0] > 4, p[:, 0] > 4), 10)
    assert made.albedo[0, 9].tolist() == [1, 1, 1]
    assert made.albedo[9, 0].tolist() == [0, 0, 0]


def test_a_texture_has_its_first_row_at_the_top():
    mesh = Mesh(
        np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
    )
    uv = mesh.vertices[:, :2].astype(np.float32)
    made = bake(mesh, uv, lambda p: (p, p[:, 0], p[:, 1]), 8)
    centre = (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(made.albedo[..., 0], np.tile(centre, (8, 1)), atol=1e-6)
    np.testing.assert_allclose(made.albedo[..., 1], np.tile(centre[::-1, None], 8), atol=1e-6)


Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@pytest.mark.parametrize(
    ("upright", "up"), [(Z_UP_FROM_Y_UP, [0, 1, 0]), (None, [0, 0, 1])], ids=["y", "z"]
)
def test_a_glb_says_again_what_was_written(tmp_path, surface, textures, upright, up):
    path = tmp_path / "object.glb"
    gltf.write_glb(path, surface, textures, upright)
    read = gltf.read_glb(path)
    np.testing.assert_allclose(read.vertices, surface.mesh.vertices, atol=1e-6)
    np.testing.assert_allclose(read.uv, surface.uv, atol=1e-6)
    np.testing.assert_array_equal(read.roughness, np.rint(255 * textures.roughness))
    np.testing.assert_array_equal(read.metallic, np.rint(255 * textures.metallic))
    decoded = read.base_colour / 255
    linear = np.where(decoded <= 0.04045, decoded / 12.92, ((decoded + 0.055) / 1.055) ** 2.4)
    assert np.abs(linear - textures.albedo).max() < 0.005
    above = read.node[:3, :3] @ up
    np.testing.assert_allclose(above, [0, 1, 0], atol=1e-6)
    assert np.linalg.det(read.node) == pytest.approx(1)


def test_a_glb_stores_the_channels_where_gltf_wants_them(tmp_path, surface, textures):
    """Read by the format alone: green roughness, blue metallic, factors 1, v downwards."""
    import json
    import struct

    path = tmp_path / "object.glb"
    gltf.write_glb(path, surface, textures)
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    told = json.loads(content[20 : 20 + length])
    pbr = told["materials"][0]["pbrMetallicRoughness"]
    assert pbr.get("metallicFactor", 1) == pbr.get("roughnessFactor", 1) == 1
    import io

    from PIL import Image

    image = told["images"][told["textures"][pbr["metallicRoughnessTexture"]["index"]]["source"]]
    view = told["bufferViews"][image["bufferView"]]
    start = 28 + length + view.get("byteOffset", 0)
    pixels = np.array(Image.open(io.BytesIO(content[start : start + view["byteLength"]])))
    np.testing.assert_array_equal(pixels[..., 1], np.rint(255 * textures.roughness))
    np.testing.assert_array_equal(pixels[..., 2], np.rint(255 * textures.metallic))
    attributes = told["meshes"][0]["primitives"][0]["attributes"]
    assert "NORMAL" in attributes, "a viewer would show the faces"
    accessor = told["accessors"][attributes["TEXCOORD_0"]]
    view = told["bufferViews"][accessor["bufferView"]]
    start = 28 + length + view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    uv = np.frombuffer(content, "<f4", 2 * accessor["count"], start).reshape(-1, 2)
    np.testing.assert_allclose(uv, surface.uv * [1, -1] + [0, 1], atol=1e-6)


def test_something_else_is_no_glb(tmp_path, surface):
    path = tmp_path / "object.glb"
    path.write_bytes(b"glTF and then nothing")
    with pytest.raises(ExportError, match=r"object\.glb is no GLB"):
        gltf.read_glb(path)
    path.write_bytes(trimesh.creation.box().export(file_type="glb"))
    with pytest.raises(ExportError, match="lacks pictures"):
        gltf.read_glb(path)


def test_arrays_come_back_and_belong_to_their_mesh(tmp_path):
    points = ball().vertices
    meant = appearance_at(points, material, chunk=50)
    write_arrays(tmp_path, meant)
    read = read_arrays(tmp_path, len(points))
    for name in ("albedo", "metallic", "roughness"):
        np.testing.assert_array_equal(getattr(read, name), getattr(meant, name))
    np.testing.assert_allclose(read.roughness**2, material(points)[2][:, 0], atol=1e-6)
    with pytest.raises(ExportError, match="shape"):
        read_arrays(tmp_path, len(points) + 1)
    (tmp_path / FILES[1]).write_bytes(b"\x93NUMPY")
    with pytest.raises(ExportError, match=r"metallic\.npy"):
        read_arrays(tmp_path, len(points))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda a, m, r: (a * np.nan, m, r), "albedo is not within"),
        (lambda a, m, r: (a, m + 0.5, r), "metallic is not within"),
        (lambda a, m, r: (a, m, r[:5]), r"alpha has the shape \(5, 1\)"),
    ],
)
def test_what_is_no_material_is_refused(changed, said):
    with pytest.raises(ExportError, match=said):
        appearance_at(ball().vertices, lambda p: changed(*material(p)))


def test_meshes_without_a_surface_are_refused():
    with pytest.raises(ExportError, match="without faces"):
        unwrap(Mesh(np.zeros((3, 3)), np.zeros((0, 3), np.int32)), SIDE)
    with pytest.raises(ExportError, match="not finite"):
        unwrap(Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]], np.int32)), SIDE)


def light(directions):
    """Tell every direction from every other."""
    return 3.0 + 2.0 * directions


def test_a_light_lies_where_cycles_looks_for_it():
    picture = environment.environment_of(light, 32)
    middle = picture[15:17, 31:33].mean((0, 1))
    np.testing.assert_allclose(middle, [5, 3, 3], atol=0.02)
    np.testing.assert_allclose(picture[0].mean(0), [3, 3, 5], atol=0.02)
    np.testing.assert_allclose(picture[15:17, 15:17].mean((0, 1)), [3, 5, 3], atol=0.02)
    directions = environment.environment_directions(8)
    columns, rows = np.meshgrid(np.arange(16) + 0.5, np.arange(8) + 0.5)
    pixels = environment.environment_pixels(directions, 8)
    np.testing.assert_allclose(pixels, np.stack([columns, rows], -1), atol=1e-9)


@pytest.mark.parametrize(("ending", "allowed"), [("exr", 0.0), ("hdr", 0.02)])
def test_a_light_survives_its_file(tmp_path, ending, allowed):
    picture = environment.environment_of(light, 16)
    path = tmp_path / f"light.{ending}"
    environment.write_environment(path, picture)
    read = environment.read_environment(path)
    assert read.shape == (16, 32, 3)
    assert np.abs(read - picture).max() <= allowed * picture.max()


def test_what_is_no_light_is_refused(tmp_path):
    picture = environment.environment_of(light, 4)
    with pytest.raises(ExportError, match="does not end with"):
        environment.write_environment(tmp_path / "light.png", picture)
    with pytest.raises(ExportError, match="twice as many columns"):
        environment.write_environment(tmp_path / "light.exr", picture[:, :5])
    with pytest.raises(ExportError, match="negative"):
        environment.environment_of(lambda d: d, 4)
    path = tmp_path / "light.exr"
    environment.write_environment(path, picture)
    content = path.read_bytes()
    for damaged in (content[:-9], content[:60], content.replace(b"lineOrder", b"lineorder")):
        path.write_bytes(damaged)
        with pytest.raises(ExportError, match=r"convert|damaged"):
            environment.read_environment(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ExportError, match="no picture"):
        environment.read_environment(path)


@pytest.mark.slow
def test_another_program_reads_our_exr(tmp_path):
    pytest.importorskip("mitsuba")
    path = tmp_path / "light.exr"
    picture = environment.environment_of(light, 16)
    environment.write_environment(path, picture)
    code = (
        "import sys, numpy as np, mitsuba as mi; mi.set_variant('scalar_rgb');"
        "np.save(sys.argv[2], np.array(mi.Bitmap(sys.argv[1])))"
    )
    read = tmp_path / "read.npy"
    subprocess.run([sys.executable, "-c", code, str(path), str(read)], check=True, timeout=200)
    np.testing.assert_array_equal(np.load(read), picture)
