"""Stacked pictures and the convolution over cameras: both start as the mean, in a strict order."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_multiview_camera_fusion import SHAPE, SIZE, difference, told, views
from torch import Tensor

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.camera_fusion import FusedCameraEncoder, direction_numbers
from gimbal_vision.multiview.camera_mixing import CameraConvolution, Fusion, widen_first
from gimbal_vision.multiview.camera_views import CAMERA_ORDER, CameraViews
from gimbal_vision.multiview.encoder import SmallVit, make_encoder
from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.views import Views

MIXED: tuple[Fusion, ...] = ("stacked", "conv3d")
ALL: tuple[Fusion, ...] = ("attention", *MIXED)
OPV2V_FILES = ("front", "right", "left", "rear")
FILES_FROM_ORDER = [0, 3, 1, 2]
"""Place of each of OPV2V's files in [front, left, rear, right]."""
PICTURED = ("camera_img", "camera_present", "camera_intrinsics", "view_from_camera")


def encoder(fusion: Fusion, *, rel_pose: bool = False) -> FusedCameraEncoder:
    torch.manual_seed(0)
    return FusedCameraEncoder(SHAPE, fusion=fusion, rel_pose=rel_pose).eval()


def model(fusion: Fusion, *, rel_pose: bool = False) -> MultiViewModel:
    torch.manual_seed(0)
    made = FusedCameraEncoder(SHAPE, fusion=fusion, rel_pose=rel_pose)
    return MultiViewModel(SHAPE, image_encoder=made).eval()


def marks_of(fused: FusedCameraEncoder, scene: CameraViews) -> Tensor:
    """[4, P', D] that say of a token which camera it is of and where it looks."""
    directions, place = fused._placed(scene, (2, 3))
    return fused.told(direction_numbers(directions)) + place


def test_stacked_patches_start_as_the_mean_of_the_shared_embedding() -> None:
    """One embedding of 12 channels against one of 3, picture by picture, with the same weights."""
    shared = encoder("attention").pictures
    stacked = encoder("stacked").pictures
    assert isinstance(shared, SmallVit) and isinstance(stacked, SmallVit)
    images = views(batch=2).camera_img.flatten(0, 1)
    found = stacked.patches(images.flatten(1, 2))
    wanted = torch.stack([shared.patches(images[:, c]) for c in range(4)]).mean(dim=0)
    torch.testing.assert_close(found, wanted)


def test_four_equal_pictures_stacked_are_one() -> None:
    """What the encoder makes of them is what the shared encoder makes of any of them."""
    picture = torch.randn(2, 1, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    one = encoder("attention").pictures(Views(img=picture))
    four = encoder("stacked").pictures(Views(img=picture.repeat(1, 1, 4, 1, 1)))
    torch.testing.assert_close(four, one)


def test_the_convolution_starts_as_the_mean_over_cameras() -> None:
    tokens = torch.randn(2, 4, 6, 16, generator=torch.Generator().manual_seed(1))
    found = CameraConvolution(4, 16)(tokens, (2, 3))
    torch.testing.assert_close(found, tokens.mean(dim=1))


def test_the_convolution_keeps_cameras_rows_and_columns_apart() -> None:
    """A weight of one camera and one neighbour moves that camera's neighbour, and nothing else."""
    net, tokens = CameraConvolution(4, 2), torch.zeros(1, 4, 6, 2)
    with torch.no_grad():
        net.mix.weight.zero_()
        net.mix.weight[1, 0, 2, 0, 1] = 1.0  # camera 2, the row above
    tokens[0, 2, 1, 0] = 5.0  # row 0, column 1
    found = net(tokens, (2, 3))
    wanted = torch.zeros(1, 6, 2)
    wanted[0, 4, 1] = 5.0  # row 1, column 1
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("fusion", ALL)
def test_the_order_of_pictures_is_that_of_their_names(fusion: Fusion) -> None:
    """Pictures as OPV2V's files have them, with names, give what the strict order gives."""
    net, scene = model(fusion, rel_pose=True), replace(views(), **told())
    present = torch.tensor([[[True, True, False, True], [True] * 4]])
    scene = replace(scene, camera_present=present)
    with torch.no_grad():
        if net.image_encoder.convolution is not None:
            net.image_encoder.convolution.mix.weight.normal_(std=0.1)
        shuffled = {name: getattr(scene, name)[:, :, FILES_FROM_ORDER] for name in PICTURED}
        files = replace(scene, **shuffled, camera_names=OPV2V_FILES)
        assert [CAMERA_ORDER[place] for place in FILES_FROM_ORDER] == list(OPV2V_FILES)
        assert difference(net(scene), net(files)) == 0.0
        assert difference(net(scene), net(replace(files, camera_names=None))) > 1e-5


@pytest.mark.parametrize("names", [("front", "left", "rear", "front"), ("front", "left", "rear")])
def test_names_that_are_not_those_of_the_cameras_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(MultiViewError, match="camera_names are front, left, rear"):
        encoder("stacked")(replace(views(), camera_names=names))


@pytest.mark.parametrize("fusion", ALL)
def test_every_camera_gets_a_gradient(fusion: Fusion) -> None:
    """And so does every weight, the one of each camera in the mixing layer included."""
    net, scene = encoder(fusion), views()
    images = scene.camera_img.clone().requires_grad_()
    net(replace(scene, camera_img=images)).square().sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().amax(dim=(0, 3, 4, 5)) > 1e-7).all()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    if net.convolution is not None:
        grad = net.convolution.mix.weight.grad
        assert grad is not None and (grad.abs().amax(dim=(0, 1)) > 0).all()


@pytest.mark.parametrize("fusion", MIXED)
def test_a_missing_picture_is_left_out_of_the_mean_and_never_read(fusion: Fusion) -> None:
    present = torch.tensor([[[True, True, False, True], [False] * 4]])
    net, scene = encoder(fusion), views(camera_present=present)
    garbage = scene.camera_img.clone()
    garbage[0, 0, 2] = garbage[0, 1] = torch.nan
    with torch.no_grad():
        found = net(replace(scene, camera_img=garbage))
        assert torch.equal(found, net(scene)) and found.isfinite().all()
        kept = [0, 1, 3]
        marks = marks_of(net, scene)
        pictures = scene.camera_img[:, 0]
        if fusion == "stacked":  # a picture that is the others' mean moves no mean
            pictures[:, 2] = pictures[:, kept].mean(dim=1)
            wanted = net.pictures(Views(img=pictures.flatten(1, 2)[:, None]))[0, 0]
        else:
            wanted = net.pictures(Views(img=pictures))[0, kept].mean(dim=0)
        torch.testing.assert_close(
            net._mixed(scene, marks, (2, 3))[0], wanted + marks[kept].mean(dim=0)
        )


@pytest.mark.parametrize("fusion", MIXED)
def test_without_the_prior_of_the_rig_nothing_is_read_of_it(fusion: Fusion) -> None:
    plain, able, scene = model(fusion), model(fusion, rel_pose=True), views()
    known = replace(scene, **told())
    assert difference(plain(scene), able(scene)) == 0.0
    assert difference(plain(known), plain(scene)) == 0.0
    assert difference(able(known), able(scene)) < 1e-4, "it starts as the nominal rig"


def test_weights_for_three_channels_are_converted_when_they_are_loaded() -> None:
    """M036: of another draw, so that nothing is right by chance; and its own come back as is."""
    torch.manual_seed(5)
    plain = FusedCameraEncoder(SHAPE)
    stacked = encoder("stacked")
    stacked.load_state_dict(plain.state_dict())
    key = "pictures.patches.weight"
    wide, narrow = stacked.state_dict()[key], plain.state_dict()[key]
    assert wide.shape == (16, 12, 14, 14)
    for camera in range(4):
        assert torch.equal(wide[:, 3 * camera : 3 * camera + 3], narrow / 4)
    with torch.no_grad():
        stacked.pictures.patches.weight.normal_()
    again = encoder("stacked")
    again.load_state_dict(stacked.state_dict())
    assert all(map(torch.equal, again.state_dict().values(), stacked.state_dict().values()))
    with pytest.raises(RuntimeError, match="size mismatch"):
        plain.load_state_dict(stacked.state_dict())


def test_what_attention_is_made_of_is_not_changed_by_the_others() -> None:
    """Same names; the stacked encoder differs in one weight, the convolution adds its own two."""
    plain, stacked, mixed = (encoder(fusion).state_dict() for fusion in ALL)
    assert list(stacked) == list(plain)
    other = [name for name in plain if not torch.equal(plain[name], stacked[name])]
    assert other == ["pictures.patches.weight"]
    assert [name for name in mixed if name not in plain] == [
        "convolution.mix.weight",
        "convolution.mix.bias",
    ]
    assert all(torch.equal(plain[name], mixed[name]) for name in plain)


def test_a_stem_and_dinov2_are_widened_where_they_begin() -> None:
    stem = make_encoder(replace(SHAPE, stem=(4, 8)))
    widen_first(stem, 4)
    assert stem(Views(img=torch.zeros(1, 1, 12, *SIZE))).shape == (1, 1, 6, 16)
    pytest.importorskip("transformers")
    dino = make_encoder(replace(SHAPE, encoder="dinov2"))
    picture = torch.randn(1, 1, 3, *SIZE)
    before = dino.eval()(Views(img=picture))
    widen_first(dino, 4)
    after = dino(Views(img=picture.repeat(1, 1, 4, 1, 1)))
    torch.testing.assert_close(after, before)


def test_a_fusion_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MultiViewError, match="'mean' is no way") as caught:
        FusedCameraEncoder(SHAPE, fusion="mean")
    assert "attention, stacked, conv3d" in caught.value.remedy
