"""Rays per CPU-second of NeRO's stage I at the published size, against a plain way to its maths.

One thread, forward pass, losses' main terms and backward pass of random rays that look at the unit
sphere. The plain way is what one would write first: the distance network runs once for the value
and once more for the gradient that autograd takes, and every sample is shaded. All ways share their
weights and rays and run in alternating turns of one process. `shading all` and `ours` differ by
samples that weigh less than 1e-7, whose colour single precision does not see; `skipping` leaves out
those below 1e-4, and what that does to the gradient is printed beside it. The published code makes
22 rays per CPU-second with Adam and its first losses (nero.md 12.5); Adam is left out here.

    python benchmarks/nero_rays.py [--rounds 3] [--rays 64] [--inv-s 200]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from gimbal_nero.fields.encodings import positional
from gimbal_nero.fields.model import ShapeModel
from gimbal_nero.fields.sdf import Distances, SdfNetwork
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.volume.model import Jitter, Moment, Rays, Rendered
from gimbal_nero.volume.render import render_rays
from taking_turns import measure

SKIP = 1e-4
PUBLISHED_RAYS_PER_CPU_S = 22.0


class PlainDistance(nn.Module):
    """The same network, its value and its gradient by two passes."""

    def __init__(self, net: SdfNetwork) -> None:
        super().__init__()
        self.net = net
        self.feature_size = net.feature_size

    def outputs(self, points: Tensor) -> Tensor:
        """Return distance and feature [N, 257]."""
        net = self.net
        encoded = hidden = positional(points, net._frequencies)
        for index, layer in enumerate(net.layers):
            if index == net._skip:
                hidden = torch.cat([hidden, encoded], dim=-1) * 2**-0.5
            hidden = functional.softplus(layer(hidden), beta=100.0)
        said: Tensor = net.head(hidden)
        return said

    def sdf(self, points: Tensor) -> Tensor:
        return self.outputs(points)[:, 0]

    def forward(self, points: Tensor) -> Distances:
        said = self.outputs(points)
        asked = points.detach().requires_grad_()
        (gradients,) = torch.autograd.grad(self.sdf(asked).sum(), asked, create_graph=True)
        return Distances(sdf=said[:, 0], gradients=gradients, hidden=said[:, 1:])

    def features(self, hidden: Tensor) -> Tensor:
        return hidden


def loss_of(rendered: Rendered, target: Tensor) -> Tensor:
    """Return colour and eikonal loss."""
    colour = ((rendered.colour - target).square().sum(-1) + 1e-3).sqrt().mean()
    lengths = torch.linalg.vector_norm(rendered.gradients, dim=-1)
    return colour + 0.1 * (lengths - 1.0).square().mean()


def some_rays(count: int) -> Rays:
    """Return rays from distance 3 that meet the unit sphere."""
    origins = 3.0 * functional.normalize(torch.randn(count, 3), dim=-1)
    aims = torch.randn(count, 3)
    aims = 0.8 * torch.rand(count, 1) * functional.normalize(aims, dim=-1)
    return Rays(origins=origins, directions=functional.normalize(aims - origins, dim=-1))


def fitted_to_sphere(model: ShapeModel, steps: int = 60) -> None:
    """Let the network be nearer to a true distance than its start is, as it is while it learns."""
    optimizer = torch.optim.Adam(model.distance.parameters(), lr=5e-4)
    for _ in range(steps):
        points = functional.normalize(torch.randn(1024, 3), dim=-1) * 1.2 * torch.rand(1024, 1)
        off = model.distance.sdf(points) - (points.norm(dim=-1) - 0.5)
        optimizer.zero_grad()
        torch.autograd.backward(off.abs().mean())
        optimizer.step()


class Way:
    """One way to take a training step's gradient."""

    def __init__(self, model: ShapeModel, *, plain: bool = False, skip: float = 0.0) -> None:
        self.model = model
        self.plain = PlainDistance(model.distance) if plain else None
        sampling = model.settings.sampling.model_copy(update={"skip_weight_below": skip})
        self.settings = model.settings.model_copy(update={"sampling": sampling})

    def gradients(self, rays: Rays, jitter: Jitter, target: Tensor) -> tuple[Rendered, Tensor]:
        """Return what is seen and the gradient of all weights, as one vector."""
        model, own = self.model, (self.model.distance, self.model.settings)
        model.zero_grad(set_to_none=True)
        model.distance = own[0] if self.plain is None else self.plain  # type: ignore[assignment]
        model.settings = self.settings
        try:
            rendered = render_rays(model, rays, jitter, Moment(anneal=0.5))
            torch.autograd.backward(loss_of(rendered, target))
        finally:
            model.distance, model.settings = own
        parts = [p.grad for p in model.parameters() if p.grad is not None]
        return rendered, torch.cat([part.flatten() for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rays", type=int, default=64)
    parser.add_argument("--inv-s", type=float, default=200.0, help="sharpness of the surface")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ShapeModel(ModelSettings())
    fitted_to_sphere(model)
    with torch.no_grad():
        model.sharpness.theta.fill_(torch.tensor(options.inv_s).log() / 10.0)
    rays, target = some_rays(options.rays), torch.rand(options.rays, 3)
    jitter = Jitter(inner=torch.rand(options.rays), outer=torch.rand(options.rays, 32))
    ways = {
        "plain": Way(model, plain=True),
        "shading all": Way(model),
        "ours": Way(model, skip=model.settings.sampling.skip_weight_below),
        "skipping": Way(model, skip=SKIP),
    }
    seen = {name: way.gradients(rays, jitter, target) for name, way in ways.items()}
    turns: dict[str, Callable[[], object]] = {
        name: lambda way=way: way.gradients(rays, jitter, target)  # type: ignore[misc]
        for name, way in ways.items()
    }
    found = measure(turns, options.rounds)
    report(found, seen, options.rays)


def report(
    found: dict[str, dict[str, float]], seen: dict[str, tuple[Rendered, Tensor]], rays: int
) -> None:
    """Print rays per CPU-second, ratios and differences."""
    per_s = {name: rays / (numbers["min_cpu_ms"] / 1000.0) for name, numbers in found.items()}
    reference, gradient = seen["plain"]
    for name, (rendered, own) in seen.items():
        off = float((own - gradient).norm() / gradient.norm())
        colour = float((rendered.colour - reference.colour).detach().abs().max())
        shaded = float(rendered.shaded.float().mean()) if rendered.shaded is not None else 1.0
        print(
            f"{name}: {per_s[name]:.1f} rays per CPU-second, {100 * shaded:.0f} % of samples "
            f"shaded, gradient off by {off:.1e}, colour by {colour:.1e}"
        )
    print(
        json.dumps(
            {
                "rays_per_cpu_s": {name: round(value, 1) for name, value in per_s.items()},
                "ours_to_plain": round(per_s["ours"] / per_s["plain"], 2),
                "skipping_to_plain": round(per_s["skipping"] / per_s["plain"], 2),
                "ours_to_published": round(per_s["ours"] / PUBLISHED_RAYS_PER_CPU_S, 2),
                "skipping_to_published": round(per_s["skipping"] / PUBLISHED_RAYS_PER_CPU_S, 2),
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


if __name__ == "__main__":
    main()
