"""Light as a learnt picture: it means what exported lights mean, and has no seam."""

from __future__ import annotations

import numpy as np
import torch

from gimbal_nero.exporting.environment import environment_directions, environment_of
from gimbal_nero.material.picture_light import PictureLight


def wild(rows=16):
    torch.manual_seed(0)
    light = PictureLight(rows)
    for level in light.levels:
        torch.nn.init.normal_(level, std=0.5)
    return light


def test_texel_centres_answer_with_their_texels():
    """The picture and the directions that the exported file gives its pixels are one."""
    light = wild()
    directions = torch.from_numpy(environment_directions(16)).float()
    with torch.no_grad():
        said = light(directions.reshape(-1, 3)).reshape(16, 32, 3)
        torch.testing.assert_close(said, light.picture(), rtol=1e-4, atol=1e-5)


def test_it_goes_on_across_the_seam_behind():
    """A column is followed by the first one: nothing jumps at the picture's edge."""
    light = wild()
    tiny = 1e-4
    sides = torch.tensor([[-1.0, tiny, 0.2], [-1.0, -tiny, 0.2]])
    sides = sides / sides.norm(dim=-1, keepdim=True)
    with torch.no_grad():
        left, right = light(sides)
    assert (left - right).abs().max() < 1e-2 * left.abs().max()


def test_it_is_exported_as_what_it_is():
    """`environment_of`, which exports lights, gives the light's own texels."""
    light = wild(8)

    def answer(directions):
        with torch.no_grad():
            return light(torch.from_numpy(directions)).numpy()

    with torch.no_grad():
        own = light.picture().numpy()
    np.testing.assert_allclose(environment_of(answer, 8, finer=1), own, rtol=1e-4, atol=1e-5)


def test_one_bright_direction_is_learnt_where_it_is():
    """Gradients reach the texels around a direction, and no others far away."""
    light = PictureLight(16)
    towards = torch.nn.functional.normalize(torch.tensor([[0.3, -0.8, 0.4]]), dim=-1)
    optimizer = torch.optim.Adam(light.parameters(), lr=0.05)
    for _ in range(60):
        around = torch.nn.functional.normalize(torch.randn(256, 3), dim=-1)
        wanted = 0.2 + 4.0 * ((around @ towards[0]) > 0.93)[:, None].float()
        loss = (light(around) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert light(towards).mean() > 2.5
        assert light(-towards).mean() < 0.5
