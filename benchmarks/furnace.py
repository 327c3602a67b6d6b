"""What a white metal reflects of light that is 1 everywhere, by both estimators of NeRO's stage II.

No surface sends on more than it gets, so every entry above 1 is bias. `exact` is a quadrature over
half-vectors of the surface that `mis` shades; `official` shades one with Schlick's shadowing.

    python benchmarks/furnace.py [--json] [--points 256]
"""

from __future__ import annotations

import argparse
import json
import math

import numpy as np
import torch

from gimbal_nero.reflectance.estimators import shade
from gimbal_nero.reflectance.model import Surface, random_draws
from gimbal_nero.reflectance.settings import EstimatorSettings

ALPHAS = (0.0016, 0.04, 0.1, 0.25, 0.5, 1.0)
COSINES = (0.2, 0.5, 0.9)


def surface_of(alpha: float, cosine: float, points: int) -> Surface:
    """Return the same point of white metal `points` times."""
    view = torch.tensor([math.sqrt(1.0 - cosine**2), 0.0, cosine])
    return Surface(
        points=torch.zeros(points, 3),
        normals=torch.tensor([0.0, 0.0, 1.0]).expand(points, 3),
        towards=view.expand(points, 3),
        albedo=torch.ones(points, 3),
        metallic=torch.ones(points, 1),
        alpha=torch.full((points, 1), alpha),
    )


def estimated(settings: EstimatorSettings, points: int) -> dict[str, object]:
    """Return the largest entry, the table [alpha, NoV] and the largest standard error."""
    table, errors = [], []
    generator = torch.Generator().manual_seed(0)
    for alpha in ALPHAS:
        row = []
        for cosine in COSINES:
            surface, draws = surface_of(alpha, cosine, points), random_draws(points, generator)
            sent = shade(surface, lambda _, d, rows: torch.ones_like(d), settings, draws).radiance[
                :, 0
            ]
            row.append(float(sent.double().mean()))
            errors.append(float(sent.double().std()) / math.sqrt(points))
        table.append(row)
    return {"max": max(max(row) for row in table), "table": table, "noise": max(errors)}


def exact(alpha: float, cosine: float, count: int = 200) -> float:
    """Return the same by Gauss points over GGX normals, with correlated Smith shadowing."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    share = nodes**2 * (3.0 - 2.0 * nodes)
    up = np.sqrt((1.0 - share) / (1.0 + (alpha**2 - 1.0) * share))[:, None]
    along = math.sqrt(1.0 - cosine**2) * np.sqrt(1.0 - up**2) * np.cos(np.pi * nodes) + cosine * up
    light = 2.0 * along * up - cosine
    lambdas = [
        0.5 * (np.sqrt(1.0 + alpha**2 * (1.0 / c**2 - 1.0)) - 1.0)
        for c in (np.where(light > 0.0, light, 1.0), cosine)
    ]
    sent = np.where((light > 0.0) & (along > 0.0), along / (up * cosine) / (1.0 + sum(lambdas)), 0)
    return float((sent * (weights * 6.0 * nodes * (1.0 - nodes))[:, None] * weights).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--points", type=int, default=256, help="estimates a table entry averages")
    options = parser.parse_args()
    if options.points < 2:
        parser.error("--points: give at least 2")
    torch.set_num_threads(1)
    found: dict[str, object] = {
        name: estimated(EstimatorSettings(estimator=name), options.points)  # type: ignore[arg-type]
        for name in ("mis", "official")
    }
    found |= {
        "exact": [[exact(alpha, cosine) for cosine in COSINES] for alpha in ALPHAS],
        "alpha": ALPHAS,
        "cosine": COSINES,
    }
    print(json.dumps(found)) if options.json else tell(found)


def tell(found: dict) -> None:
    """Print both tables beside the exact one."""
    print(f"{'alpha':>7} {'NoV':>4} {'exact':>7} {'mis':>7} {'official':>8}")
    for i, alpha in enumerate(ALPHAS):
        for j, cosine in enumerate(COSINES):
            mis, official = (found[name]["table"][i][j] for name in ("mis", "official"))
            print(f"{alpha:7} {cosine:4} {found['exact'][i][j]:7.4f} {mis:7.4f} {official:8.4f}")
    for name in ("mis", "official"):
        print(f"{name}: at most {found[name]['max']:.4f}, noise {found[name]['noise']:.4f}")


if __name__ == "__main__":
    main()
