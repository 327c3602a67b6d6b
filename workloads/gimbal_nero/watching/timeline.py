"""How a shape became what it is: the same pixels and the same view at several checkpoints (R031).

Early, opacity is flat along rays; then it peaks, and occlusion is learnt; late, materials settle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gimbal_nero.capture import Bytes, View
from gimbal_nero.learning.quality import psnr_db
from gimbal_nero.learning.rays import MASK_UNKNOWN
from gimbal_nero.watching.background import background_numbers
from gimbal_nero.watching.choosing import Sample
from gimbal_nero.watching.material import material_numbers
from gimbal_nero.watching.profiles import profile
from gimbal_nero.watching.rendering import Seen, see
from gimbal_nero.watching.strips import Renderer, look_at_view, panels, reduced
from gimbal_nero.watching.surface import surface_numbers, weight_spread

_DRAWN = ("render", "normal", "opacity", "occlusion")


def spread_steps(steps: Sequence[int], count: int) -> list[int]:
    """Choose at most `count` of increasing steps, evenly spread; the last always."""
    if len(steps) <= count:
        return list(steps)
    places = np.linspace(0, len(steps) - 1, count) if count > 1 else np.array([len(steps) - 1])
    return [steps[round(float(place))] for place in places]


def moment_numbers(seen: Seen, held_out: Sample) -> dict[str, float]:
    """Return what is followed over time, over pixels of held-out views.

    Returns:
        `psnr`, `peak_miss`, `weight_near`, `weight_spread`, `hit_share`, `background_opacity`
        and, where colours are made of materials, their means.
    """
    rgb, mask = held_out.rays["rgb"], held_out.rays.get("mask")
    unknown = np.full(len(rgb), MASK_UNKNOWN) if mask is None else mask
    said, true = (np.rint(np.clip(part, 0, 1) * 255).astype(np.uint8)[None]
                  for part in (np.nan_to_num(seen.colour), rgb))  # fmt: skip
    surface = surface_numbers(seen)
    names = ("hit_share", "peak_miss", "weight_near")
    materials = material_numbers(seen)
    materials.pop("out_of_range", None)
    return {
        "psnr": psnr_db(said, true),
        **{name: surface[name] for name in names},
        "weight_spread": weight_spread(seen),
        "background_opacity": background_numbers(seen, rgb, unknown)["inner_opacity"],
        **materials,
    }


def look_at_moment(
    renderer: Renderer, held_out: Sample, view: View, side: int, ray: int | None
) -> tuple[dict[str, Any], list[tuple[str, Bytes]]]:
    """Return the numbers and pictures of one checkpoint.

    Args:
        renderer: With the checkpoint's networks.
        held_out: Pixels that the numbers are taken over.
        view: What is drawn.
        side: Longest side of the pictures.
        ray: Pixel of the reduced view whose weights are kept; None: no ray.

    Returns:
        `numbers` (see `moment_numbers`) and `ray` (see `profile`), and named pictures.
    """
    seen = see(renderer.fields, renderer.module, held_out.rays, renderer.at_once)
    small = reduced(view, side)
    drawn = look_at_view(renderer, small)
    pictures = panels(small, drawn)
    found = {
        "numbers": moment_numbers(seen, held_out),
        "ray": None if ray is None else profile(drawn, ray),
    }
    return found, [(name, pictures[name]) for name in _DRAWN if name in pictures]


def timeline_numbers(moments: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return what changed from the first checkpoint to the last.

    Returns:
        `checkpoints`; `psnr_gain_db`: of held-out pixels; `near_gain`: of the weight near the
        surface; 0 both with a single checkpoint. `material_change`: largest change of a mean of
        roughness, metallic or albedo between the last two.
    """
    first, last = moments[0]["numbers"], moments[-1]["numbers"]
    before = moments[-2]["numbers"] if len(moments) > 1 else last
    names = [name for name in ("roughness", "metallic", "albedo") if name in last]
    changes = [abs(last[name] - before.get(name, last[name])) for name in names]
    return {
        "checkpoints": float(len(moments)),
        "psnr_gain_db": last["psnr"] - first["psnr"],
        "near_gain": last["weight_near"] - first["weight_near"],
        "material_change": max(changes, default=0.0),
    }
