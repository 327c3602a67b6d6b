"""Mesh files: every supported kind is read, everything else ends in one clear error."""

from __future__ import annotations

import base64
import json
import logging
import os
import struct

import numpy as np
import pytest
import trimesh

from gimbal_vision.errors import MeshError
from gimbal_vision.meshes import find_meshes, is_watertight, load_mesh, normalise, signed_volume

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], "<f4")
PLY = (
    "ply\nformat {form} 1.0\nelement vertex {count}\nproperty float x\nproperty float y\n"
    "property float z\nelement {name} {faces}\nproperty list {kind} int vertex_indices\n"
    "end_header\n"
)


def ascii_ply(rows: str, points: int = 3) -> str:
    vertices = "".join(f"{x:g} {y:g} {z:g}\n" for x, y, z in POINTS[:points])
    count = len(rows.splitlines())
    header = PLY.format(form="ascii", count=points, name="face", faces=count, kind="uchar")
    return header + vertices + rows


def gltf(**changes: object) -> str:
    """A one-triangle glTF with its buffer inside; `changes` replace top-level keys."""
    buffer = base64.b64encode(np.eye(3, dtype="<f4").tobytes()).decode()
    content = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"uri": f"data:application/octet-stream;base64,{buffer}", "byteLength": 36}],
    }
    return json.dumps({**content, **changes})


@pytest.fixture
def write(tmp_path):
    def write_file(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.mark.parametrize("suffix", ["obj", "ply", "off", "stl", "STL", "glb"])
def test_every_kind_of_file_gives_the_same_sphere(tmp_path, suffix):
    sphere = trimesh.creation.icosphere(subdivisions=2)
    path = tmp_path / f"sphere.{suffix}"
    sphere.export(path, file_type=suffix.lower())
    mesh = load_mesh(path)
    assert mesh.vertices.shape == (162, 3)
    assert mesh.vertices.dtype == np.float64
    assert mesh.faces.shape == (320, 3)
    assert mesh.faces.dtype == np.int32
    assert is_watertight(mesh)
    assert signed_volume(mesh) == pytest.approx(sphere.volume, rel=1e-5)
    assert type(mesh.vertices) is np.ndarray, "no subclass of a library leaks out"


def test_gltf_with_an_embedded_buffer(write):
    np.testing.assert_allclose(load_mesh(write("a.gltf", gltf())).vertices, np.eye(3))


def test_scene_nodes_are_placed_and_mirrored_ones_stay_outside_out(tmp_path):
    """Two instances of one box, one moved, one mirrored: volumes add up, not cancel."""
    scene = trimesh.Scene()
    box = trimesh.creation.box()
    scene.add_geometry(
        box, geom_name="box", transform=trimesh.transformations.translation_matrix([3, 0, 0])
    )
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = -3
    scene.graph.update(frame_to="mirrored", geometry="box", matrix=mirror)
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb")
    assert len(mesh.faces) == 24
    assert signed_volume(mesh) == pytest.approx(2.0)
    np.testing.assert_allclose(mesh.bounds, [[-3.5, -0.5, -0.5], [3.5, 0.5, 0.5]])


def test_relative_obj_indices_count_from_where_they_stand(write):
    """Counting from the end of the file would fold both triangles onto the second."""
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 0 0 5\nv 1 0 5\nv 0 1 5\nf -3 -2 -1\n"
    mesh = load_mesh(write("relative.obj", text))
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(mesh.vertices[:, 2], [0, 0, 0, 5, 5, 5])


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(write, newline):
    text = (TRIANGLE + "f 1 2 3\n").replace("\n", newline)
    assert len(load_mesh(write("lines.obj", text)).faces) == 1


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("first", [3, 4])
def test_binary_ply_with_mixed_polygons(write, order, first):
    """What most editors export; the library gives up on it."""
    lists = {3: [0, 1, 4], 4: [0, 1, 2, 3]}
    endian = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    body = POINTS.astype(order + "f4").tobytes()
    for size in (first, 7 - first):
        body += struct.pack(f"{order}B{size}i", size, *lists[size])
    header = PLY.format(form=endian, count=5, name="face", faces=2, kind="uchar")
    mesh = load_mesh(write("mixed.ply", header.encode() + body))
    assert len(mesh.faces) == 3
    np.testing.assert_array_equal(mesh.bounds, [[0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize("binary", [True, False])
def test_ply_triangle_strips(write, binary):
    """Stanford's older scans; every second triangle of a strip is turned round."""
    form = "binary_little_endian" if binary else "ascii"
    header = PLY.format(form=form, count=5, name="tristrips", faces=1, kind="int").encode()
    strip = [8, 0, 1, 3, 2, -1, 0, 3, 4]
    if binary:
        body = POINTS.tobytes() + np.array(strip, "<i4").tobytes()
    else:
        rows = [*POINTS.tolist(), strip]
        body = "".join(" ".join(f"{x:g}" for x in row) + "\n" for row in rows).encode()
    mesh = load_mesh(write("strip.ply", header + body))
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 3], [3, 1, 2], [0, 3, 4]])


BAD_FILES = {
    "empty.obj": b"",
    "comment.obj": "# nothing here\n",
    "points.obj": TRIANGLE,
    "lines.obj": TRIANGLE + "l 1 2 3\n",
    "all_nan.obj": "v nan 0 0\nv nan 1 0\nv nan 0 1\nf 1 2 3\n",
    "huge.obj": "v 1e200 0 0\nv 0 1e300 0\nv 0 0 1e200\nf 1 2 3\n",
    "no_area.obj": "v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n",
    "one_point.obj": "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n",
    "out_of_range.obj": TRIANGLE + "f 1 2 99\n",
    "words.obj": "v a b c\nf 1 2 3\n",
    "noise.obj": os.urandom(999),
    "noise.ply": b"ply\n" + os.urandom(999),
    "noise.stl": os.urandom(999),
    "noise.off": os.urandom(999),
    "noise.glb": b"glTF" + os.urandom(999),
    "cut_header.ply": "ply\nformat ascii 1.0\nelement vertex 3\n",
    "lies.ply": PLY.format(
        form="binary_little_endian", count=99999999999, name="face", faces=1, kind="uchar"
    ),
    "cut.off": "OFF\n300 100 0\n0 0 0\n1 0 0\n",
    "image.obj": b"\x89PNG\r\n\x1a\n" + bytes(60),
    "photo.stl": b"\xff\xd8\xff\xe0" + bytes(600),
    "page.glb": "<!DOCTYPE html><title>404</title>",
    "pointer.ply": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "deep.gltf": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "flat_scale.gltf": gltf(nodes=[{"mesh": 0, "scale": [0, 0, 0]}]),
    "no_nodes.gltf": gltf(scenes=[{"nodes": []}], nodes=[]),
    "huge_accessor.gltf": gltf(
        accessors=[{"bufferView": 0, "componentType": 5126, "count": 2**40, "type": "VEC3"}]
    ),
    "cloud.pcd": "# .PCD v0.7\n",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_end_in_one_error_that_names_them(write, name, capfd, caplog):
    """No traceback of a library, nothing on the terminal, a remedy in every message."""
    path = write(name, BAD_FILES[name])
    with caplog.at_level(logging.DEBUG), pytest.raises(MeshError) as caught:
        load_mesh(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy
    assert "\n" not in caught.value.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("points.obj", "points or line ends but no faces"),
        ("image.obj", "PNG image"),
        ("pointer.ply", "git lfs pull"),
        ("no_area.obj", "1 without area"),
        ("huge.obj", "absurdly far"),
        ("cloud.pcd", "no mesh file"),
        ("deep.gltf", "JSON"),
    ],
)
def test_the_error_says_what_the_file_is(write, name, words):
    with pytest.raises(MeshError, match=words):
        load_mesh(write(name, BAD_FILES[name]))


def test_missing_files_folders_and_pipes_are_told_apart(tmp_path):
    os.mkfifo(tmp_path / "pipe.obj")
    (tmp_path / "folder.obj").mkdir()
    for name, words in [
        ("none.obj", "does not exist"),
        ("folder.obj", "is a folder"),
        ("pipe.obj", "not a regular file"),
        ("x" * 300 + ".obj", "cannot be read"),
    ]:
        with pytest.raises(MeshError, match=words):
            load_mesh(tmp_path / name)


def test_gltf_that_names_a_url_or_a_path_above_reads_neither(write, monkeypatch):
    """A mesh file is a stranger: no network, nothing outside its folder."""
    monkeypatch.setattr("socket.socket", None)
    for uri in ("http://example.org/x.bin", "../../../../etc/passwd", "/etc/passwd"):
        buffers = [{"uri": uri, "byteLength": 36}]
        with pytest.raises(MeshError, match="not in its folder"):
            load_mesh(write("stranger.gltf", gltf(buffers=buffers)))


def test_finding_is_recursive_sorted_and_skips_hidden_files(tmp_path):
    for name in ("b.OBJ", "a/c.ply", "a/.d.ply", ".git/e.obj", "z.txt", "a/b/f.GLB"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [str(path.relative_to(tmp_path)) for path in find_meshes(tmp_path)]
    assert found == ["a/b/f.GLB", "a/c.ply", "b.OBJ"]
    assert find_meshes(tmp_path / "b.OBJ") == [tmp_path / "b.OBJ"]


def test_a_folder_without_meshes_names_the_suffixes(tmp_path):
    for folder, words in [(tmp_path, "holds no mesh"), (tmp_path / "none", "does not exist")]:
        with pytest.raises(MeshError, match=words) as caught:
            find_meshes(folder)
        assert ".glb" in caught.value.remedy


def test_real_malformed_files_load_or_end_in_a_mesh_error(shared_data, capfd):
    """Every hostile file of the collection, and the few that are fine in spite of it."""
    outcomes = {}
    for path in sorted((shared_data / "malformed" / "meshes").rglob("*.*")):
        try:
            outcomes[path.name] = len(normalise(load_mesh(path)).faces)
        except MeshError:
            outcomes[path.name] = 0
    assert capfd.readouterr() == ("", "")
    usable = {name: faces for name, faces in outcomes.items() if faces}
    assert usable == {
        "AlphaBlendModeTest.glb": 61,
        "busted.STL": 3878,
        "multibody.stl": 32,
        "nancolor.obj": 12,
        "negative_indices.obj": 12,
        "no_indices_3storybuilding.glb": 64,
        "noimg.obj": 1000,
        "notenoughindices.obj": 1,
        "obj_with_no_face_in_chunk.obj": 1,
        "soup.stl": 100,
    }


def test_real_meshes_load(shared_data):
    """Seams of texture coordinates and triangle soup are welded: closed objects are closed."""
    found = {path.name: path for path in find_meshes(shared_data / "meshes")}
    assert len(found) == 14
    for name in ("spot.obj", "bob_tri.obj", "fuze.obj", "rabbit.obj", "1002_tray_bottom.STL"):
        assert is_watertight(load_mesh(found[name])), name
