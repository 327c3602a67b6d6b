"""Step time and peak memory of the multi-view model on a GPU: four cars' panoramas, bfloat16.

A step is forward, the published losses on made-up truth of the right shape, backward and AdamW; one
plain and one compiled model take the same steps. Exit status 3: there is no GPU, with what to do.

    python benchmarks/multiview_gpu.py [--size v1] [--cars 4] [--image 1008x168] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gimbal_vision.multiview.checkpointing import Checkpointing
from gimbal_vision.multiview.losses.presets import PRESETS
from gimbal_vision.multiview.losses.total import MultiViewLoss
from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.shape import SIZES
from gimbal_vision.multiview.views import Truth, Views

NO_GPU = 3
WARM_UP = 3


def example(cars: int, width: int, height: int, device: str) -> tuple[Views, Truth]:
    """Return noise as images, and points within 60 m as the truth."""
    flags = torch.ones(1, cars, height, width, dtype=torch.bool, device=device)
    rays = F.normalize(torch.randn(1, cars, height, width, 3, device=device), dim=-1)
    ranges = torch.rand(1, cars, height, width, 1, device=device) * 59 + 1
    pose = torch.eye(4, device=device).repeat(1, cars, 1, 1)
    pose[..., :3, 3] = 15 * torch.randn(1, cars, 3, device=device)
    truth = Truth(
        camera_pose=pose,
        pts3d_cam=rays * ranges,
        ray_directions_cam=rays,
        depth_along_ray=ranges,
        valid_mask=flags,
        non_ambiguous_mask=flags,
        present=flags[..., 0, 0],
        is_metric_scale=flags[:, 0, 0, 0],
        is_synthetic=flags[:, 0, 0, 0],
    )
    return Views(img=torch.randn(1, cars, 3, height, width, device=device)), truth


def stepper(
    size: str, views: Views, truth: Truth, *, compiled: bool, again: bool
) -> Callable[[], None]:
    torch.manual_seed(0)
    parts = Checkpointing(encoder=again, trunk=again, heads=again)
    model = MultiViewModel(SIZES[size], checkpointing=parts).to(views.img.device)
    model.geometry.requires_grad_(False)
    criterion = MultiViewLoss.of_preset(PRESETS["overall"], wraps=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    call = torch.compile(model) if compiled else model

    def step() -> None:
        with torch.autocast(views.img.device.type, torch.bfloat16):
            said = call(views)
        total: Tensor = torch.zeros((), device=views.img.device)
        for name, (value, count) in criterion(said, truth).items():
            weight = criterion.term_weights.get(name, 1.0)
            if weight:
                total = total + weight * value / (1 if count is None else count)
        total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measured(step: Callable[[], None], steps: int) -> dict[str, float]:
    for _ in range(WARM_UP):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    spent_ms = (time.perf_counter() - began) / steps * 1e3
    return {"step_ms": spent_ms, "peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="v1")
    parser.add_argument("--cars", type=int, default=4)
    parser.add_argument("--image", default="1008x168", help="width x height in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print(
            "this measures a GPU, and torch finds none here: run it on a machine with one and a "
            "CUDA build of torch; benchmarks/multiview_memory.py needs no GPU",
            file=sys.stderr,
        )
        raise SystemExit(NO_GPU)
    width, height = (int(side) for side in given.image.split("x"))
    views, truth = example(given.cars, width, height, "cuda")
    cases = {"plain": (False, False), "compiled": (True, False), "recomputed": (False, True)}
    found = {}
    for name, (compiled, again) in cases.items():
        step = stepper(given.size, views, truth, compiled=compiled, again=again)
        found[name] = measured(step, given.steps)
        del step
        torch.cuda.empty_cache()
    if given.json:
        print(json.dumps({"device": torch.cuda.get_device_name(), **found}))
        return
    print(f"{given.size}, {given.cars} x {given.image}, on {torch.cuda.get_device_name()}")
    for name, numbers in found.items():
        print(f"  {name}: {numbers['step_ms']:.1f} ms a step, peak {numbers['peak_gib']:.2f} GiB")


if __name__ == "__main__":
    main()
