"""Choosing a renderer, missing backends, compiling where nothing can be written."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from render_support import icosphere

from gimbal_vision.errors import RenderError
from gimbal_vision.rendering import BACKENDS, auto, choose, get, jit, parallel

ALL = tuple(BACKENDS)


@pytest.mark.parametrize(
    ("faces", "pixels", "device", "installed", "expected"),
    [
        (20_000, 96 * 96, "cpu", ALL, "raster"),
        (70_000, 518 * 518, "cpu", ALL, "raster"),
        (400_000, 96 * 96, "cpu", ALL, "embree"),
        (400_000, 96 * 96, "cpu", ("raster",), "raster"),
        (20_000, 96 * 96, "cuda", ALL, "warp"),
        (20_000, 96 * 96, "cuda:1", ("raster", "embree", "pytorch3d"), "pytorch3d"),
        (20_000, 96 * 96, "cuda", ("raster", "embree"), "raster"),
    ],
)
def test_choice_follows_mesh_image_and_device(faces, pixels, device, installed, expected):
    choice = choose(faces, pixels, device, installed)
    assert choice.name == expected
    assert choice.reason


def test_auto_renders_on_the_cpu_and_says_so_when_no_gpu_backend_is_installed(caplog, monkeypatch):
    for name in ("warp", "pytorch3d"):
        monkeypatch.setitem(BACKENDS, name, absent(name))
    assert auto(icosphere(1), 64, 64).name == "raster"
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert auto(icosphere(1), 64, 64, device="cuda").name == "raster"
    assert "gimbal[warp]" in caplog.text


def absent(name):
    return type(BACKENDS[name])(
        **{**BACKENDS[name].__dict__, "requires": "a_package_nobody_has_made"}
    )


def test_few_views_do_not_pay_for_a_tree():
    assert choose(400_000, 96 * 96, "cpu", ALL, views=8).name == "raster"


@pytest.mark.parametrize(("name", "remedy"), [("warp", "gimbal[warp]"), ("pytorch3d", "source")])
def test_a_missing_backend_says_how_to_get_it(name, remedy, monkeypatch):
    monkeypatch.setitem(BACKENDS, name, absent(name))
    with pytest.raises(RenderError, match="not installed") as caught:
        get(name)
    assert remedy in caught.value.remedy


def test_an_unknown_renderer_names_the_known_ones():
    with pytest.raises(RenderError, match="'opengl'") as caught:
        get("opengl")
    assert all(name in caught.value.remedy for name in BACKENDS)


def test_a_cpu_renderer_refuses_a_gpu():
    with pytest.raises(RenderError, match="CPU only"):
        get("raster", device="cuda")


def test_importing_the_package_is_cheap():
    """Neither numba nor torch nor Embree is imported until a renderer is asked for."""
    code = (
        "import sys, gimbal_vision.rendering;"
        "print([m for m in ('numba', 'torch', 'embreex', 'warp', 'pytorch3d') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_threads_follow_the_cpus_ray_granted(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    for value, expected in (("1", 1), ("", cores), ("nonsense", cores), ("4096", cores)):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert parallel.default_threads() == expected


@pytest.mark.parametrize(("views", "threads"), [(1, 1), (1, 2), (3, 2), (8, 2), (5, 16), (100, 3)])
def test_bands_cover_every_row_of_every_view_once(views, threads):
    bands = parallel.row_bands(views, 11, threads)
    rows = sorted((n, row) for n, first, last in bands for row in range(first, last))
    assert rows == [(n, row) for n in range(views) for row in range(11)]


def test_an_error_in_any_thread_is_raised():
    def fail(item, _):
        if item == 7:
            raise RenderError("seven")

    with pytest.raises(RenderError, match="seven"):
        parallel.run(range(20), fail, lambda: None, 3)


def test_the_fallback_cache_is_private(tmp_path, monkeypatch):
    """Cached code is unpickled: a folder that others can write to is not used."""
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = jit.private_cache_folder()
    assert folder is not None and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert jit.private_cache_folder() is None
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert jit.private_cache_folder() is None


def test_kernels_compile_when_numba_finds_no_folder_to_cache_in(tmp_path, monkeypatch):
    """As in a container with a read-only install and a read-only home."""
    calls = []

    def refuses_once(**options):
        def decorate(function):
            calls.append(options["cache"])
            if len(calls) == 1:
                raise RuntimeError("cannot cache function: no locator available")
            return function

        return decorate

    monkeypatch.setattr(jit.numba, "njit", refuses_once)
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", "")
    assert jit.kernel()(len)([1, 2]) == 2
    assert jit.numba.config.CACHE_DIR.startswith(str(tmp_path))
