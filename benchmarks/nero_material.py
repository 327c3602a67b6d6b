"""How right a fitted material is, by both estimators of NeRO's stage II, on the true mesh.

Photographs made by `gimbal nero synthesize` are explained by their true surface, so that nothing
but the estimate of material and light is measured. Both share points, networks and draws, and steps
unless `--seconds` ends them.
`quick` is what configs/nero/quickstart.yaml fits with, `published` the paper's networks and
directions (for a GPU; `--steps` shortens its 100,000 steps, `--seconds` ends it where it is).

    gimbal nero synthesize --out made
    python benchmarks/nero_material.py made [--size quick] [--estimators mis official] [--json]
    python benchmarks/nero_material.py made --size published --device cuda --steps 5000
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gimbal.training.settings import TrainSettings
from gimbal_nero.capture import Capture
from gimbal_nero.capture_files import load_capture
from gimbal_nero.judging.materials import PairedPoints, compare_materials
from gimbal_nero.judging.true_material import true_material
from gimbal_nero.material.fit_settings import FitSettings
from gimbal_nero.material.loading import LoadedMaterial
from gimbal_nero.material.model import MaterialModel
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.presets import PRESETS
from gimbal_nero.material.task import MaterialPlan, MaterialTask
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_vision.meshes import Mesh, load_mesh

SHOWN = ("psnr", "roughness_mae", "metallic_mae", "albedo_mae_global", "albedo_mae_channels")
JUDGED_POINTS = 4096


def capture_of(photographs: Path) -> Capture:
    """Return photographs in the unit frame, prepared beside their folder the first time."""
    prepared = photographs.with_name(photographs.name + ".capture")
    if not (prepared / "prepare.json").is_file():
        from gimbal_nero.preparing.prepare import prepare
        from gimbal_nero.preparing.settings import PrepareSettings

        prepare(photographs, PrepareSettings(), prepared, lambda *_: None)
    return load_capture(prepared)


def task_of(
    capture: Capture, photographs: Path, options: argparse.Namespace, estimator: str
) -> MaterialTask:
    """Return the task of one estimator on the true mesh."""
    preset = copy.deepcopy(PRESETS[options.size])
    if options.steps:
        train = preset["material"]["train"]
        train["warmup_steps"] = round(train["warmup_steps"] * options.steps / train["steps"])
        train["steps"] = options.steps
    truth = load_mesh(photographs / "truth" / "mesh.ply")
    plan = MaterialPlan(
        fit=FitSettings(**preset["material"]),
        points=PointSettings(),
        mc=EstimatorSettings(**{**preset.get("mc", {}), "estimator": estimator}),
        seed=0,
    )
    return MaterialTask(
        plan, capture, Mesh(capture.normalisation.points(truth.vertices), truth.faces)
    )


def fitted(task: MaterialTask, options: argparse.Namespace) -> tuple[MaterialModel, dict[str, Any]]:
    """Return networks after a plain loop over the task, and how long it took."""
    settings, device = task.settings.train, torch.device(options.device)
    torch.manual_seed(0)
    module, groups = task.build()
    module.to(device)
    optimizer = torch.optim.Adam([{**group, "lr": settings.lr} for group in groups])
    source, rng = task.source("train"), np.random.default_rng(0)
    wall, cpu, step = time.perf_counter(), time.process_time(), 0
    while step < settings.steps and time.perf_counter() - wall < options.seconds:
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * rate(step, settings)
        ids = rng.integers(0, len(source), settings.global_batch)
        batch = {k: torch.as_tensor(v).to(device) for k, v in source.fetch(ids).items()}
        batch["sample_ids"] = torch.from_numpy(ids).to(device)
        weights = task.term_weights(step)
        terms = task.loss(module, batch, step)
        parts = [weights.get(name, 1.0) * s / n.clamp(min=1) for name, (s, n) in terms.items()]
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(parts).sum())
        optimizer.step()
        step += 1
    if device.type == "cuda":
        torch.cuda.synchronize()
    points = step * settings.global_batch
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    per_s = {
        "points_per_wall_s": points / spent["wall_s"],
        "points_per_cpu_s": points / spent["cpu_s"],
    }
    return module, {"steps": step, **spent, **per_s}


def rate(step: int, settings: TrainSettings) -> float:
    """Return the share of the peak rate: a linear rise, then a cosine."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    passed = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    low = settings.final_share
    return low + (1.0 - low) * 0.5 * (1.0 + float(np.cos(np.pi * passed)))


def judged(task: MaterialTask, module: MaterialModel, photographs: Path) -> dict[str, float]:
    """Return held-out PSNR of the object's pixels, and errors of the material."""
    module.eval()
    psnr, views = task.validate(module, task.source("val"))["psnr"]
    source = task.source("train")
    every = max(1, len(source) // JUDGED_POINTS)
    points = source.fetch(np.arange(0, len(source), every))["points"].astype(np.float64)
    loaded = LoadedMaterial(module=copy.deepcopy(module).cpu(), step=0)
    truth = true_material(photographs)
    assert truth is not None, "made photographs have a true material"
    found = compare_materials(loaded.appearance(), truth, PairedPoints(said=points, true=points))
    return {"psnr": psnr / max(1.0, views), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, help="a folder of `gimbal nero synthesize`")
    parser.add_argument("--size", choices=sorted(PRESETS), default="quick")
    parser.add_argument("--estimators", nargs="+", default=["mis", "official"])
    parser.add_argument("--steps", type=int, default=0, help="optimizer steps; 0: the size's own")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="wall time of each")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    torch.set_num_threads(1)
    capture, found = capture_of(options.photographs), {}
    for estimator in options.estimators:
        task = task_of(capture, options.photographs, options, estimator)
        module, spent = fitted(task, options)
        found[estimator] = {**spent, **judged(task, module, options.photographs)}
        if not options.json:
            words = ", ".join(f"{name} {found[estimator][name]:.4f}" for name in SHOWN)
            print(f"{estimator}: {spent['steps']} steps, {spent['cpu_s']:.0f} CPU-s, "
                  f"{spent['wall_s']:.0f} s; {words}", flush=True)  # fmt: skip
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
