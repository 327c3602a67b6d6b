"""How soon do the fast and the faithful way to a shape come to the same error?

Trains each mode on the same made photographs with a plain loop over the task that `gimbal run`
trains (one thread of a processor, or a GPU), stops the clock now and then, cuts out the surface and
compares it with the true one, as `gimbal run` does. Time is that of learning alone: CPU-seconds of
this process, or wall seconds on a GPU.

    gimbal nero synthesize --out photographs          # once
    python benchmarks/nero_modes.py --photographs photographs --mode fast tiny
    python benchmarks/nero_modes.py --photographs photographs --device cuda --mode fast published

`--until .0062` prints the time at which each mode is that good, and the ratio of times. A mode that
has not come there when its seconds are over has no time, and the ratio is a bound. The rate falls
to its end by the share of seconds used, so a longer run is better at its end, slower on its way.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from gimbal.training.settings import TrainSettings
from gimbal_nero.capture import Capture
from gimbal_nero.capture_files import load_capture
from gimbal_nero.errors import ShapeError
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.judging.surfaces import distances, points_of
from gimbal_nero.judging.truth import judged_views, true_mesh
from gimbal_nero.learning.loading import LoadedShape
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.learning.task import ShapePlan, ShapeTask
from gimbal_nero.meshing.make import mesh_of
from gimbal_nero.meshing.seeing import seen_by
from gimbal_nero.meshing.settings import MeshSettings
from gimbal_nero.preparing.prepare import prepare
from gimbal_nero.preparing.settings import PrepareSettings
from gimbal_nero.volume.shape import ShapeFields
from gimbal_vision.meshes import Mesh

CONFIGS = Path(__file__).parents[1] / "configs" / "nero"
MODES = {
    ("fast", "cpu"): "fast.yaml",
    ("fast", "cuda"): "fast_gpu.yaml",
    ("tiny", "cpu"): "shape_quickstart.yaml",
    ("tiny", "cuda"): "shape_quickstart.yaml",
    ("published", "cpu"): "shape_syn.yaml",
    ("published", "cuda"): "shape_syn.yaml",
}


@dataclass
class Clock:
    """Seconds of learning, with what is measured between left out."""

    device: str
    passed: float = 0.0
    _since: float = 0.0

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def start(self) -> None:
        self._since = self.now()

    def stop(self) -> float:
        self.passed += self.now() - self._since
        return self.passed


@dataclass
class Course:
    """What one mode came to."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def reached(self, chamfer: float) -> float | None:
        """Return the seconds at which it is first that good for good, or None."""
        good = None
        for row in self.rows:
            if row["chamfer"] > chamfer:
                good = None
            elif good is None:
                good = row["seconds"]
        return good


def main() -> None:
    options = read_options()
    torch.set_num_threads(1)
    capture = prepared(options.photographs)
    truth = true_mesh(options.photographs, capture.normalisation)
    if truth is None:
        raise SystemExit(f"{options.photographs} has no truth/mesh.ply to compare with")
    courses = {}
    for mode in options.mode:
        settings = settings_of(mode, options)
        courses[mode] = learn(mode, settings, capture, truth, options)
    report(courses, options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--mode", nargs="+", default=["fast", "tiny"])
    parser.add_argument("--seconds", type=float, default=200.0, help="of learning, for each mode")
    parser.add_argument("--looks", type=int, default=10, help="times a mode's surface is judged")
    parser.add_argument("--until", type=float, default=0.0062)
    parser.add_argument("--steps", type=int, help="instead of seconds")
    parser.add_argument("--resolution", type=int, default=192)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of every config")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if unknown := set(options.mode) - {mode for mode, _ in MODES}:
        parser.error(f"there is no mode {', '.join(unknown)}: take fast, tiny, published")
    return options


def prepared(photographs: Path) -> Capture:
    """Return the capture of photographs, prepared once."""
    folder = photographs / "prepared"
    if not (folder / "capture.json").is_file():
        prepare(photographs, PrepareSettings(), folder, lambda *_: None)
    return load_capture(folder)


def settings_of(mode: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the config of a mode, with what the command line says instead."""
    settings = with_parents(CONFIGS / MODES[mode, options.device])
    for text in options.set:
        key, value = text.split("=", 1)
        *path, last = key.split(".")
        place = settings
        for part in path:
            place = place.setdefault(part, {})
        place[last] = yaml.safe_load(value)
    return settings


def with_parents(path: Path) -> dict[str, Any]:
    """Return a config over what it extends."""
    own = yaml.safe_load(path.read_text())
    parent = own.pop("extends", None)
    return own if parent is None else merged(with_parents(path.parent / parent), own)


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = [key for key in over if isinstance(over[key], dict) and isinstance(under.get(key), dict)]
    return under | over | {key: merged(under[key], over[key]) for key in both}


def learn(
    mode: str,
    settings: dict[str, Any],
    capture: Capture,
    truth: Mesh,
    options: argparse.Namespace,
) -> Course:
    """Train one mode for its seconds (or steps) and judge its surface now and then."""
    model = ModelSettings(**settings.get("model", {}))
    plan = ShapePlan(
        loss=LossSettings(**settings.get("loss", {})),
        schedule=ScheduleSettings(**settings.get("schedule", {})),
        rays=RaySettings(**settings.get("rays", {})),
        seed=0,
        photographer=model.photographer,
    )
    fields = ShapeFields(model, views=len(capture.of("train")))
    task = ShapeTask(plan, fields, capture)
    torch.manual_seed(0)
    module, _ = task.build()
    module.to(options.device)
    train = TrainSettings(**settings["train"])
    optimizer = torch.optim.Adam(module.parameters(), lr=1.0, fused=True)
    source, order = task.source("train"), np.random.default_rng(0)
    clock, course, step, done = Clock(options.device), Course(), 0, 0.0
    size = sum(parameter.numel() for parameter in module.parameters())
    print(f"{mode}: {size} parameters, {train.global_batch} rays a step", flush=True)
    while done < 1.0:
        clock.start()
        goal = (len(course.rows) + 1) / options.looks
        while done < goal:
            set_rate(optimizer, train, step, done)
            ids = order.integers(0, len(source), train.global_batch)
            take_step(task, module, optimizer, batch_of(source, ids, options.device), step)
            step += 1
            done = progress(clock, step, options, done)
        seconds = clock.stop()
        shape = LoadedShape(fields=fields, module=module, step=step)
        found = judged(shape, capture, truth, options)
        course.rows.append({"seconds": seconds, "step": step, **found})
        numbers = ", ".join(f"{name} {value:.5g}" for name, value in found.items())
        print(f"{mode}: {seconds:.1f} s, step {step}, {numbers}", flush=True)
    return course


def progress(clock: Clock, step: int, options: argparse.Namespace, last: float) -> float:
    """Return the share of a mode's time that is over; on a GPU only asked now and then."""
    if options.steps:
        return step / options.steps
    if clock.device == "cuda" and step % 10:
        return last
    return (clock.passed + clock.now() - clock._since) / options.seconds


def set_rate(
    optimizer: torch.optim.Optimizer, train: TrainSettings, step: int, done: float
) -> None:
    """Warm up by steps, then fall along a cosine by the share of time that is over."""
    warm = min(1.0, (step + 1) / max(1, train.warmup_steps))
    last = train.final_share
    share = last + (1.0 - last) * 0.5 * (1.0 + np.cos(np.pi * min(1.0, done)))
    for group in optimizer.param_groups:
        group["lr"] = train.lr * warm * float(share)


def batch_of(source: Any, ids: np.ndarray, device: str) -> dict[str, torch.Tensor]:
    batch = {name: torch.as_tensor(values) for name, values in source.fetch(ids).items()}
    batch["sample_ids"] = torch.from_numpy(ids)
    return {name: values.to(device, non_blocking=True) for name, values in batch.items()}


def take_step(
    task: ShapeTask,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: dict[str, torch.Tensor],
    step: int,
) -> None:
    weights = task.term_weights(step)
    terms = task.loss(module, batch, step)
    means = [weights[name] * total / count.clamp(min=1) for name, (total, count) in terms.items()]
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(torch.stack(means).sum())
    optimizer.step()


def judged(
    shape: LoadedShape, capture: Capture, truth: Mesh, options: argparse.Namespace
) -> dict[str, float]:
    """Return how far surfaces are apart in unit lengths (infinite where there is none)."""
    settings = MeshSettings(resolution=options.resolution)
    try:
        mesh, pieces = mesh_of(shape, settings, lambda *_: None)
    except ShapeError:
        return {"chamfer": float("inf")}
    views = judged_views(capture)
    clouds = [
        [points_of(view, seen_by(surface, view).depth) for view in views]
        for surface in (mesh, truth)
    ]
    found = distances(*clouds, voxel=0.01)
    if found is None:
        return {"chamfer": float("inf")}
    return {
        "chamfer": found.chamfer,
        "accuracy": found.accuracy,
        "completeness": found.completeness,
        "pieces": pieces,
        "inv_s": float(shape.module.get_submodule("sharpness")().detach()),
    }


def report(courses: dict[str, Course], options: argparse.Namespace) -> None:
    """Print when each mode was good enough, and the ratio to the first."""
    reached = {mode: course.reached(options.until) for mode, course in courses.items()}
    first = options.mode[0]
    for mode, seconds in reached.items():
        said = "not reached" if seconds is None else f"{seconds:.1f} s"
        print(f"chamfer {options.until}: {mode} {said}")
    ratios: dict[str, float | None] = {}
    for mode in options.mode[1:]:
        other = reached[mode] or courses[mode].rows[-1]["seconds"]
        ratios[mode] = None if reached[first] is None else round(reached[first] / other, 4)
        sign = "" if reached[mode] else "less than "
        print(f"time of {first} / {mode}: {sign}{ratios[mode]}")
    content = {
        "device": options.device,
        "until": options.until,
        "reached_s": reached,
        "ratio_of_times": ratios,
        "courses": {mode: course.rows for mode, course in courses.items()},
    }
    print(json.dumps(content))
    if options.json:
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
