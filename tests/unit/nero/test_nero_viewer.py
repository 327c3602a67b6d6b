"""The page of an exported object: what it holds, whose scripts run, and how the light is stored."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
import trimesh

from gimbal.pages.one_file import content_policy
from gimbal_nero.exporting import viewer
from gimbal_nero.exporting.environment import environment_directions
from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.exporting.viewer import Viewpoint, viewer_body, viewer_html, viewer_scripts
from gimbal_nero.report.viewer import viewer_section

HOSTILE = "</script><script>alert(1)</script>"


def told(markup):
    """Return what the page's script reads."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', markup, re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def stored(light):
    """Return the light in a page as a picture whose first row is at the top."""
    one = told(viewer_body(b"", light, "x"))["light"]
    halves = np.frombuffer(base64.b64decode(one["halves"]), "<f2")
    return halves.reshape(one["height"], one["width"], 4)[::-1].astype(np.float32)


@pytest.mark.parametrize("rows", [8, 48, 64, 100, 300])
def test_a_light_of_any_size_keeps_its_directions(rows):
    """Linear in the direction: stretching errs by the square of a pixel's angle over 8 an axis."""
    there = stored(1.5 + environment_directions(rows))
    height = len(there)
    assert height in (64, 128)
    assert height <= max(rows, 64)
    wanted = 1.5 + environment_directions(height)
    # Beyond the last row's middle there is nothing to stretch into.
    rim = int(np.ceil(height / rows))
    assert np.abs(there[rim:-rim, :, :3] - wanted[rim:-rim]).max() < (np.pi / rows) ** 2 / 4 + 0.005
    assert (there[..., 3] == 1).all()


def test_a_sun_beyond_half_floats_stays_finite():
    picture = np.full((64, 128, 3), 1e7, np.float32)
    assert np.isfinite(stored(picture)).all()
    assert stored(picture)[..., :3].min() > 1e4


def test_without_a_light_the_sky_is_brighter_than_the_ground():
    there = stored(None)
    assert there[0, 0, 0] > there[-1, 0, 0] > 0


def test_a_page_allows_its_own_scripts_alone_and_no_name_escapes():
    glb = trimesh.Scene(trimesh.creation.box()).export(file_type="glb")
    page = viewer_html(glb, None, HOSTILE, Viewpoint(azimuth_deg=90.0, elevation_deg=0.0))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert tuple(scripts) == viewer_scripts()
    policy = content_policy(scripts).replace("'", "&#x27;")
    assert policy in page
    assert "connect-src" not in policy
    assert "alert(1)</script>" not in page
    assert base64.b64decode(told(page)["glb"]) == glb
    assert told(page)["view"]["azimuth"] == pytest.approx(np.pi / 2)
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_three_js_is_told_missing_where_trimesh_brings_it_no_more(monkeypatch):
    viewer._three.cache_clear()
    monkeypatch.setattr(viewer, "_LAST", "something that is not there")
    with pytest.raises(ExportError, match=r"three\.js"):
        viewer_scripts()
    viewer._three.cache_clear()


def test_a_run_without_an_export_has_no_viewer(tmp_path):
    assert viewer_section(tmp_path) is None
