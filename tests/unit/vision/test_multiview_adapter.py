"""Dictionaries of views to tensors and back; the published model's interface, faked and real."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from multiview_support import apart, small_model, some_views, use_of
from torch import nn

from gimbal_vision.cameras import Equirectangular
from gimbal_vision.errors import CameraError, MultiViewError
from gimbal_vision.multiview.adapter import MapAnythingAdapter
from gimbal_vision.multiview.recovery import recover_camera
from gimbal_vision.multiview.stacking import given_inputs, restack, stack, unstack


def dictionaries(count=3):
    views = some_views(batch=1, count=count, dtype=torch.float32)
    return [
        {name: v[0, n].numpy() for name, v in vars(views).items() if v is not None}
        for n in range(count)
    ]


def test_single_views_become_a_batch_and_missing_geometry_is_not_used():
    given = dictionaries()
    del given[1]["depth_along_ray"]
    given[2]["has_depth"] = False
    views, use = stack(given), given_inputs(given)
    assert views.img.shape == (1, 3, 3, 8, 16)
    np.testing.assert_array_equal(views.camera_pose_quats[0, 2], given[2]["camera_pose_quats"])
    assert use.depth.tolist() == [[True, False, False]]
    assert use.rays.all() and use.pose.all()


def test_views_that_cannot_be_stacked_say_why():
    given = dictionaries()
    with pytest.raises(MultiViewError, match="different shapes"):
        stack([given[0], {**given[1], "img": given[1]["img"][:, :4]}])
    with pytest.raises(MultiViewError, match="data_norm_type is 'identity'"):
        stack([{**given[0], "data_norm_type": ["identity"]}])
    with pytest.raises(MultiViewError, match="view 1 has no image"):
        stack([given[0], {}])


def test_unstacking_and_stacking_predictions_loses_nothing():
    said = small_model()(some_views())
    assert apart(said, restack(unstack(said))) == 0.0
    assert unstack(said)[1]["non_ambiguous_mask"].dtype is torch.bool


def test_a_panorama_s_camera_is_recovered_and_a_pinhole_is_never_made_of_it():
    camera = Equirectangular(height=42, width=252, fy=40.0, cy=20.0)
    noisy = camera.rays() + np.random.default_rng(0).normal(size=(42, 252, 3)) * 0.01
    fit = recover_camera(noisy, "equirectangular")
    assert isinstance(fit.camera, Equirectangular)
    assert fit.camera.fy == pytest.approx(40.0, abs=0.2) and fit.residual_deg < 2.0
    with pytest.raises(CameraError, match="not a pinhole"):
        recover_camera(noisy, "pinhole")


class Fake(nn.Module):
    """Speaks the published interface, with our model inside; notes what it was handed."""

    def __init__(self):
        super().__init__()
        self.inner = small_model(dtype=torch.float32)
        self.geometric_input_config = {"overall_prob": 0.9, "other": 1.0}
        self.info_sharing = nn.Identity()
        self.seen: list[list[dict]] = []
        self.told: list[dict] = []

    def forward(self, views):
        self.seen.append(views)
        self.told.append(self.geometric_input_config)
        given = stack(views)
        use = given_inputs(views)
        tokens = self.inner.features(given, use).tokens
        maps = tokens.mT.reshape(*tokens.shape[:2], -1, 2, 4).unbind(1)
        self.info_sharing((SimpleNamespace(features=list(maps)), []))
        return unstack(self.inner(given, use))

    def infer(self, views):
        raise AssertionError("infer breaks panoramas")


def test_the_adapter_hands_over_what_is_used_and_nothing_of_absent_views():
    fake = Fake()
    adapter = MapAnythingAdapter(fake, camera_model="equirectangular", patch=4)
    views = some_views(dtype=torch.float32)
    present = torch.tensor([[True, True, True], [True, False, True]])
    use = use_of(views)
    use = replace(use, depth=torch.zeros_like(use.depth), pose_scale=torch.tensor([True, False]))
    said = adapter(replace(views, present=present), use)
    assert [len(seen) for seen in fake.seen] == [3, 2]
    assert "depth_along_ray" not in fake.seen[0][0] and "ray_directions_cam" in fake.seen[0][0]
    assert [told["pose_scale_norm_all_prob"] for told in fake.told] == [0.0, 1.0]
    assert fake.told[0]["overall_prob"] == 1.0 and fake.told[0]["other"] == 1.0
    assert fake.geometric_input_config == {"overall_prob": 0.9, "other": 1.0}
    assert not said.pts3d[1, 1].any() and said.pts3d[1, 2].any()


def test_the_adapter_says_what_the_model_says():
    fake = Fake()
    adapter = MapAnythingAdapter(fake, patch=4)
    views = some_views(dtype=torch.float32)
    assert apart(adapter(views), fake.inner(views)) < 1e-3
    assert apart(adapter(views, use_of(views)), fake.inner(views, use_of(views))) < 1e-3
    expected = fake.inner.features(views).tokens
    torch.testing.assert_close(adapter.tokens(views), expected, atol=1e-5, rtol=1e-4)
    assert fake.told[0]["overall_prob"] == 0.0 and fake.told[0]["dropout_prob"] == 1.0


def test_weights_are_never_fetched_unasked(tmp_path, monkeypatch):
    package = SimpleNamespace(from_pretrained=lambda source: pytest.fail(f"fetched {source}"))
    monkeypatch.setattr("gimbal_vision.multiview.adapter._package", lambda: package)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(MultiViewError, match="no folder of weights") as caught:
        MapAnythingAdapter.from_pretrained("facebook/map-anything")
    assert "download=True" in caught.value.remedy
    with pytest.raises(MultiViewError, match=r"code of torch\.hub"):
        MapAnythingAdapter.from_pretrained(tmp_path)


def test_a_missing_package_is_said_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mapanything.models", None)
    with pytest.raises(MultiViewError, match="mapanything is not installed") as caught:
        MapAnythingAdapter.from_pretrained("folder")
    assert "pip install" in caught.value.remedy


def test_the_real_package_still_has_the_interface():
    """Runs where `mapanything` is installed; builds nothing, fetches nothing."""
    models = pytest.importorskip("mapanything.models")
    source = inspect.getsource(models.MapAnything)
    assert list(inspect.signature(models.MapAnything.forward).parameters)[:2] == ["self", "views"]
    for name in ("geometric_input_config", "info_sharing", "depth_along_ray", "overall_prob"):
        assert name in source
