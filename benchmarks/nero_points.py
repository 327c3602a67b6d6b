"""Points per CPU-second of NeRO's stage II, against a plain way to its maths.

One thread, forward pass, losses and backward pass of points on a torus. The plain way is what one
would write first: every direction is traced and asked of both light networks, from encodings by
powers of z, and the answer that counts is picked. All ways share their weights, points and draws,
and run in alternating turns of one process. `free hits` takes the tracer's time away and lets one
direction in five meet something, as the measurement of the published code did, which makes 45
points per CPU-second with Adam (nero.md 12.5); Adam is left out here. `looked up` asks the network
of light from afar once a texel of a picture (`light_rows`), and what that does to the gradient is
printed beside it. Its cost hardly grows with the points, so it is timed on more of them.

    python benchmarks/nero_points.py [--size published] [--points 32] [--rounds 3] [--device cpu]

`--device cuda` times by the wall and says what casts the rays.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nero.fields import directional
from gimbal_nero.fields.encodings import positional
from gimbal_nero.fields.shading import sphere_exit
from gimbal_nero.material import terms
from gimbal_nero.material.fit_settings import MaterialLossSettings
from gimbal_nero.material.lighting import LightNetworks, TracedLight
from gimbal_nero.material.model import MaterialModel
from gimbal_nero.material.picture_light import PictureLight
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.reflectance import estimators
from gimbal_nero.reflectance.model import Draws, Surface, random_draws
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_nero.synthesis.objects import torus
from gimbal_nero.tracing.hits import Hits
from gimbal_nero.tracing.secondary import SecondaryRays
from gimbal_nero.tracing.surface import TracedMesh
from taking_turns import measure

PUBLISHED_POINTS_PER_CPU_S = 45.0
SIZES = {"published": (512, 256), "tiny": (64, 64)}
LOOKED_UP = "ours, looked up"
_SHARE = 0.2
_PLACE = 8


class FreeHits:
    """Takes the place of `SecondaryRays`: a fifth of the directions meet something, at no cost."""

    def trace(self, points: Tensor, directions: Tensor) -> Hits:
        hit = (directions @ directions.new_tensor([9.1, 7.3, 5.7])) % 1.0 < _SHARE
        met, towards = points[hit] + 0.5 * directions[hit], directions[hit]
        return Hits(
            hit=hit,
            distances=torch.full_like(met[:, 0], 0.5),
            points=met,
            normals=-towards,
            face_normals=-towards,
            starts=met,
            faces=torch.zeros(len(met), dtype=torch.int64, device=met.device),
        )


class PlainLight:
    """Both networks are asked along every direction, and `where` picks."""

    def __init__(self, networks: LightNetworks, rays: Any) -> None:
        self._networks, self._rays = networks, rays

    def __call__(self, points: Tensor, directions: Tensor, rows: Tensor) -> Tensor:
        hits = self._rays.trace(points, directions)
        place, normals = points.clone(), directions.clone()
        far = torch.zeros_like(hits.hit)
        place[hits.hit], normals[hits.hit] = hits.points, hits.normals
        far[hits.hit] = hits.distances > 1e-5
        mirrored = directions - 2.0 * (directions * normals).sum(-1, keepdim=True) * normals
        sent = self._networks.inner(
            torch.cat([positional(place, _PLACE), by_powers(mirrored)], dim=-1)
        )
        return torch.where(hits.hit[:, None], sent * far[:, None], self._afar(points, directions))

    def _afar(self, points: Tensor, directions: Tensor) -> Tensor:
        if isinstance(self._networks.outer, PictureLight):
            return self._networks.from_afar(points, directions)
        lobe = by_powers(directions)
        if self._networks._sphere_direction:
            lobe = torch.cat([lobe, by_powers(sphere_exit(points, directions))], dim=-1)
        found: Tensor = self._networks.outer(lobe)
        return found


def by_powers(directions: Tensor) -> Tensor:
    """Return the encoding of `fields.directional` for a lobe of no width, by powers of z."""
    x, y, z = directions.unbind(-1)
    series, orders = _series(directions.device)
    legendre = (z[:, None] ** torch.arange(len(series), device=z.device)) @ series
    around = torch.complex(x, y)[:, None] ** orders
    return torch.cat([legendre * around.real, legendre * around.imag], dim=-1)


@functools.cache
def _series(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return coefficients [17, 36] of powers of z, and the orders [36]."""
    table, _, orders = directional._constants(torch.float64, torch.device("cpu"))
    columns = [np.polynomial.chebyshev.cheb2poly(column) for column in table.numpy().T]
    padded = np.stack([np.pad(column, (0, len(table) - len(column))) for column in columns])
    return torch.from_numpy(padded.T).float().to(device), orders.to(device)


@contextlib.contextmanager
def asking_everywhere() -> Iterator[None]:
    """Ask light below the surface too; its weight there is 0."""

    def ask(light: Any, points: Tensor, directions: Tensor, asked: Tensor) -> Tensor:
        n, k, _ = directions.shape
        rows = torch.arange(n, device=points.device).repeat_interleave(k)
        found: Tensor = light(points[rows], directions.reshape(-1, 3), rows)
        return found.view(n, k, 3)

    kept = estimators.light_from
    estimators.light_from = ask
    try:
        yield
    finally:
        estimators.light_from = kept


class Step:
    """Points that a training step sees, and the draws of their directions."""

    def __init__(self, count: int, traced: TracedMesh, mc: EstimatorSettings) -> None:
        like = torch.zeros((), device=traced.device)
        origins = 3.0 * functional.normalize(torch.randn(4 * count, 3), dim=-1)
        aims = 0.9 * (torch.rand(4 * count, 3) - 0.5)
        directions = functional.normalize(aims - origins, dim=-1)
        hits = traced.first_hits(origins.to(like), directions.to(like))
        self.points, self.normals = hits.starts[:count], hits.normals[:count]
        self.towards = -directions.to(like)[hits.hit][:count]
        self.rgb, self.beside = torch.rand(count, 3).to(like), torch.rand(count, 2).to(like)
        drawn = random_draws(count)
        self.draws = Draws(
            diffuse=drawn.diffuse.to(like),
            specular=drawn.specular.to(like),
            environment=drawn.environment.to(like),
        )
        self.mc = mc

    def loss(self, model: MaterialModel, light: Any) -> tuple[Tensor, Tensor]:
        """Return radiance, and the loss of `MaterialTask` with its default weights."""
        said, settings = model.surface(self.points), MaterialLossSettings()
        surface = Surface(
            points=self.points,
            normals=self.normals,
            towards=self.towards,
            albedo=said.albedo,
            metallic=said.metallic,
            alpha=said.alpha,
        )
        shaded = estimators.shade(surface, light, self.mc, self.draws)
        there = model.surface(terms.beside(self.points, self.normals, self.beside, 0.05))
        sums = (
            (1.0, terms.colour_term(shaded.radiance, self.rgb, settings)),
            (settings.smoothness_weight, terms.smoothness_term(said, there)),
            (settings.range_weight * len(self.points), terms.range_term(said)),
            (settings.neutral_light_weight, terms.neutral_light_term(shaded.diffuse_light)),
        )
        return shaded.radiance, torch.stack([w * total / n for w, (total, n) in sums]).sum()


class Way:
    """One way to take a training step's gradient."""

    def __init__(self, model: MaterialModel, step: Step, rays: Any, *, plain: bool = False) -> None:
        self.model, self.step, self.plain = model, step, plain
        self.light = (PlainLight if plain else TracedLight)(model.light, rays)

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Return radiance, and the gradient of all weights as one vector."""
        self.model.zero_grad(set_to_none=True)
        with asking_everywhere() if self.plain else contextlib.nullcontext():
            radiance, loss = self.step.loss(self.model, self.light)
            torch.autograd.backward(loss)
        if radiance.is_cuda:
            torch.cuda.synchronize()
        parts = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
        return radiance.detach(), torch.cat(parts)


def models(size: str, rows: int, device: str) -> tuple[MaterialModel, MaterialModel | None]:
    """Return the model as its size has it, and one of the same weights that looks light up."""
    torch.manual_seed(0)
    own = MaterialModel(MaterialSettings.model_validate({"size": size})).to(device)
    fitted_to_windows(own.light)
    if isinstance(own.light.outer, PictureLight):
        return own, None
    settings = MaterialSettings.model_validate({"size": size, "light_rows": rows})
    looking = MaterialModel(settings).to(device)
    looking.load_state_dict(own.state_dict())
    return own, looking


def fitted_to_windows(light: LightNetworks, steps: int = 150) -> None:
    """Let light from afar be as uneven as it becomes: dim, with two bright windows."""
    optimizer = torch.optim.Adam(light.outer.parameters(), lr=1e-3)
    like = next(light.parameters())
    windows = functional.normalize(torch.tensor([[1.0, 0.3, 0.5], [-0.4, -1.0, 0.8]]), dim=-1)
    for _ in range(steps):
        directions = functional.normalize(torch.randn(1024, 3), dim=-1)
        inside = ((directions @ windows.T) > 0.95).any(-1, keepdim=True)
        wanted = torch.where(inside, 8.0, 0.3).to(like)
        found = light.from_afar(torch.zeros_like(directions).to(like), directions.to(like))
        optimizer.zero_grad()
        torch.autograd.backward((found.log() - wanted.log()).square().mean())
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=tuple(SIZES), default="published")
    parser.add_argument("--points", type=int, default=32)
    parser.add_argument("--many", type=int, default=256, help="points of `looked up`")
    parser.add_argument("--rows", type=int, default=64, help="of the picture of `looked up`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    own, looking = models(options.size, options.rows, options.device)
    diffuse, specular = SIZES[options.size]
    mc = EstimatorSettings(diffuse_samples=diffuse, specular_samples=specular)
    traced = TracedMesh(torus(0.45, 0.2), options.device)
    rays: dict[str, Any] = {"": SecondaryRays(traced), ", free hits": FreeHits()}
    few = Step(options.points, traced, mc)
    ways = {}
    for name, tracer in rays.items():
        ways[f"plain{name}"] = Way(own, few, tracer, plain=True)
        ways[f"ours{name}"] = Way(own, few, tracer)
        if looking is not None:
            ways[LOOKED_UP + name] = Way(looking, Step(options.many, traced, mc), tracer)
    caster = type(traced.caster).__name__
    found = measure({name: way.gradients for name, way in ways.items()}, options.rounds)
    report(found, ways, caster, "min_ms" if options.device != "cpu" else "min_cpu_ms")


def report(
    found: dict[str, dict[str, float]], ways: dict[str, Way], caster: str, clock: str
) -> None:
    """Print points per second, ratios and differences."""
    per_s = {name: len(w.step.points) / (found[name][clock] / 1e3) for name, w in ways.items()}
    unit = "CPU-second" if clock == "min_cpu_ms" else "second"
    for name, way in ways.items():
        told = f"{name}: {per_s[name]:.1f} points per {unit}"
        if not way.plain:
            model = ways["plain"].model
            reference = Way(model, way.step, way.light._rays, plain=True)
            told += ", gradient off by {:.1e}, radiance by {:.1e}".format(*apart(way, reference))
        print(told)
    ratios = {}
    for name in ways:
        if not ways[name].plain:
            tail = ", free hits" if name.endswith("free hits") else ""
            key = name.replace(", ", "_").replace(" ", "_")
            ratios[f"{key}_to_plain"] = round(per_s[name] / per_s[f"plain{tail}"], 2)
            if tail and unit == "CPU-second" and LOOKED_UP in ways:
                ratios[f"{key}_to_published"] = round(per_s[name] / PUBLISHED_POINTS_PER_CPU_S, 2)
    print(
        json.dumps(
            {
                f"points_per_{unit.replace('-', '_').lower()}": {
                    name: round(value, 1) for name, value in per_s.items()
                },
                **ratios,
                "caster": caster,
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


def apart(way: Way, reference: Way) -> tuple[float, float]:
    """Return how far gradients and radiances of one way are from another's, as shares."""
    (radiance, gradient), (plain, wanted) = way.gradients(), reference.gradients()
    off = (gradient - wanted).norm() / wanted.norm()
    return float(off), float((radiance - plain).norm() / plain.norm())


if __name__ == "__main__":
    main()
