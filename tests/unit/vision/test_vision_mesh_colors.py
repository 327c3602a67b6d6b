"""Colours survive loading: textures, vertex, face and material colours, and mixtures of them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial

from gimbal_vision.meshes import Mesh, load_mesh
from gimbal_vision.meshes.atlas import Texture, pack

RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]
QUAD = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


def colour_at(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Sample bilinearly as a renderer does: v upwards, texel centres at +.5, repeating."""
    height, width = texture.shape[:2]
    x, y = uv[..., 0] % 1 * width - 0.5, (1 - uv[..., 1] % 1) * height - 0.5
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    wx, wy = (x - x0)[..., None], (y - y0)[..., None]
    t = texture.astype(np.float64)
    rows = [
        t[yy % height, x0 % width] * (1 - wx) + t[yy % height, (x0 + 1) % width] * wx
        for yy in (y0, y0 + 1)
    ]
    return rows[0] * (1 - wy) + rows[1] * wy


def centre_colours(mesh: Mesh) -> np.ndarray:
    """Colour in the middle of each face, whichever form the mesh holds it in."""
    if mesh.texture is not None:
        return colour_at(mesh.texture, mesh.uv.mean(axis=1))
    return mesh.vertex_colors[mesh.faces].mean(axis=1)


def png(path, image) -> None:
    Image.fromarray(np.asarray(image, np.uint8)).save(path)


def textured_obj(folder, name="a b.png", material="newmtl m\nmap_Kd {name}\n"):
    (folder / "q.mtl").write_text(material.format(name=name))
    path = folder / "q.obj"
    path.write_text("mtllib q.mtl\n" + QUAD + "usemtl m\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n")
    return path


def test_texture_with_the_origin_at_the_lower_left(tmp_path):
    """Row 0 of the image is at v = 1; the file's name may hold a space."""
    image = np.zeros((2, 2, 3), np.uint8)
    image[0], image[1] = RED, BLUE
    png(tmp_path / "a b.png", image)
    mesh = load_mesh(textured_obj(tmp_path))
    np.testing.assert_array_equal(mesh.texture, image)
    assert mesh.uv.shape == (2, 3, 2)
    assert mesh.vertex_colors is None
    np.testing.assert_array_equal(mesh.vertices[mesh.faces][..., :2], mesh.uv)
    np.testing.assert_array_equal(colour_at(mesh.texture, np.array([0.5, 0.75])), RED)


@pytest.mark.parametrize(
    "name", ["C:\\scans\\skin.png", "/home/someone/skin.png", "../skin.png", "-s 1 1 1 skin.png"]
)
def test_paths_of_another_machine_find_the_file_beside_the_mesh(tmp_path, name):
    png(tmp_path / "skin.png", [[RED] * 3] * 3)
    assert load_mesh(textured_obj(tmp_path, name)).texture.shape == (3, 3, 3)


def test_a_texture_above_the_folder_is_not_read(tmp_path):
    png(tmp_path / "secret.png", [[RED] * 3] * 3)
    (tmp_path / "mesh").mkdir()
    mesh = load_mesh(textured_obj(tmp_path / "mesh", "../secret.png"))
    assert mesh.texture is None
    assert "secret.png is missing" in mesh.report.warnings[0]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    png(tmp_path / "secret.png", [[RED] * 3] * 3)
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "skin.png").symlink_to(tmp_path / "secret.png")
    assert load_mesh(textured_obj(tmp_path / "mesh", "skin.png")).texture is None


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"no image",
        b"\x89PNG\r\n\x1a\n",
        bomb(60_000, 60_000),
        bomb(10_000, 10_000),
        bomb(9, 9),
    ],
    ids=["missing", "text", "cut", "bomb", "large", "truncated"],
)
def test_a_useless_texture_costs_the_colours_not_the_mesh(tmp_path, content, capfd):
    if content is not None:
        (tmp_path / "a b.png").write_bytes(content)
    mesh = load_mesh(textured_obj(tmp_path))
    assert len(mesh.faces) == 2
    assert mesh.texture is None
    assert mesh.uv is None
    assert len(mesh.report.warnings) == 1
    assert "0x" not in mesh.report.warnings[0], "no memory addresses: reports must repeat"
    assert capfd.readouterr() == ("", "")


def test_missing_material_file_is_a_warning(tmp_path):
    path = textured_obj(tmp_path)
    (tmp_path / "q.mtl").unlink()
    mesh = load_mesh(path)
    assert (mesh.texture, mesh.vertex_colors) == (None, None)
    assert "q.mtl is missing" in mesh.report.warnings[0]


def test_vertex_and_face_colours(tmp_path):
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.random.default_rng(0).integers(0, 255, (8, 4), np.uint8)
    box.export(tmp_path / "v.ply")
    mesh = load_mesh(tmp_path / "v.ply")
    assert mesh.vertex_colors.shape == (8, 3)
    np.testing.assert_array_equal(
        mesh.vertex_colors[mesh.faces], box.visual.vertex_colors[box.faces, :3]
    )
    box.visual = trimesh.visual.ColorVisuals(box, face_colors=np.arange(48).reshape(12, 4) % 256)
    box.export(tmp_path / "f.ply")
    faces = load_mesh(tmp_path / "f.ply")
    np.testing.assert_array_equal(centre_colours(faces), box.visual.face_colors[:, :3])


def test_material_colours_become_vertex_colours(tmp_path):
    (tmp_path / "q.mtl").write_text("newmtl r\nKd 1 0 0\nnewmtl b\nKd 0 0 1\n")
    path = tmp_path / "q.obj"
    path.write_text("mtllib q.mtl\n" + QUAD + "usemtl r\nf 1 2 3\nusemtl b\nf 1 3 4\n")
    mesh = load_mesh(path)
    assert sorted(centre_colours(mesh).tolist()) == sorted([RED, BLUE])


def textured_box(colour, factor=None, shift=0.0):
    box = trimesh.creation.box(transform=trimesh.transformations.translation_matrix([shift, 0, 0]))
    image = Image.fromarray(np.full((8, 4, 3), colour, np.uint8))
    material = PBRMaterial(baseColorTexture=image, baseColorFactor=factor)
    box.visual = trimesh.visual.TextureVisuals(uv=box.vertices[:, :2] % 1, material=material)
    return box


def test_several_materials_share_an_atlas(tmp_path):
    """Two textures, one with a factor, a vertex-coloured and a plain part keep their colours."""
    painted = trimesh.creation.box(transform=trimesh.transformations.translation_matrix([4, 0, 0]))
    painted.visual.vertex_colors = [0, 0, 255, 255]
    plain = trimesh.creation.box(transform=trimesh.transformations.translation_matrix([6, 0, 0]))
    parts = [
        textured_box(RED),
        textured_box([0, 200, 100], factor=np.array([255, 128, 255, 255], np.uint8), shift=2.0),
        painted,
        plain,
    ]
    trimesh.Scene(parts).export(tmp_path / "parts.glb")
    mesh = load_mesh(tmp_path / "parts.glb")
    colours = centre_colours(mesh)
    middle = mesh.vertices[mesh.faces].mean(axis=1)[:, 0]
    expected = {0: RED, 2: [0, 100, 100], 4: BLUE, 6: [200, 200, 200]}
    for x, colour in expected.items():
        np.testing.assert_allclose(colours[np.abs(middle - x) < 0.9], [colour] * 12, atol=1.01)


def test_one_texture_for_all_parts_is_kept_as_it_is(tmp_path):
    trimesh.Scene([textured_box(RED), textured_box(RED, shift=3.0)]).export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb")
    assert mesh.texture.shape == (8, 4, 3)


def test_atlas_repeats_what_repeats_and_never_bleeds():
    """Coordinates beyond [0, 1], edges and corners of the images: all sampled as before."""
    rng = np.random.default_rng(0)
    surfaces = []
    for height, width in ((8, 16), (32, 4), (5, 7)):
        image = rng.integers(0, 255, (height, width, 3), np.uint8)
        uv = rng.uniform(-1.5, 1.5, (30, 3, 2)).astype(np.float32)
        surfaces.append(Texture(image, uv))
    packed, warnings = pack(surfaces)
    assert not warnings
    start = 0
    for surface in surfaces:
        placed = packed.uv[start : start + 30]
        weights = rng.dirichlet(np.ones(3), (30, 1))
        texel = 1.0 / np.array(surface.image.shape[1::-1])
        before = (surface.uv * weights[..., 0, :, None]).sum(axis=1)
        after = (placed * weights[..., 0, :, None]).sum(axis=1)
        inner = ((before % 1 > texel) & (before % 1 < 1 - texel)).all(axis=-1)
        np.testing.assert_allclose(
            colour_at(packed.image, after)[inner], colour_at(surface.image, before)[inner], atol=0.1
        )
        start += 30


def test_an_atlas_that_would_be_too_large_is_shrunk_with_a_warning():
    side = 1024 // 2 + 100
    images = [np.full((side, side, 3), i, np.uint8) for i in range(4)]
    uv = np.full((1, 3, 2), 0.5, np.float32)
    packed, warnings = pack([Texture(image, uv) for image in images], max_side=1024)
    assert max(packed.image.shape) <= 1024
    assert "shrunk to 50%" in warnings[0]
    np.testing.assert_array_equal(colour_at(packed.image, packed.uv[:, 0])[:, 0], [0, 1, 2, 3])


def test_thousands_of_plain_colours_fit_a_small_palette():
    rng = np.random.default_rng(0)
    colours = np.repeat(rng.integers(0, 255, (5000, 1, 3), np.uint8), 3, axis=1)
    textured = Texture(np.zeros((4, 4, 3), np.uint8), np.zeros((1, 3, 2), np.float32))
    packed, _ = pack([textured, colours])
    error = colour_at(packed.image, packed.uv[1:, 0]) - colours[:, 0]
    assert np.abs(error).max() <= 255 / 31 / 2 + 1
    assert max(packed.image.shape) < 400
