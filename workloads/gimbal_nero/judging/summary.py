"""What a terminal shows of a judged shape and its material."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROWS = (
    ("chamfer", "Chamfer distance, unit lengths", "{:.4f}", "said to true and back, halved"),
    ("accuracy", "  from the mesh to the truth", "{:.4f}", ""),
    ("completeness", "  from the truth to the mesh", "{:.4f}", ""),
    ("normal_deg", "normals off by", "{:.1f}°", "where both surfaces are seen"),
    ("silhouette_iou", "outlines, overlap", "{:.3f}", ""),
    ("psnr", "PSNR of held-out photographs", "{:.1f} dB", ""),
    ("ssim", "SSIM", "{:.3f}", ""),
    ("lpips", "LPIPS", "{:.3f}", "AlexNet"),
    ("roughness_mae", "roughness off by", "{:.3f}", "perceptual, mean of what views see"),
    ("metallic_mae", "metallic off by", "{:.3f}", ""),
    ("albedo_mae", "albedo off by", "{:.3f}", "linear, after a factor per channel"),
    ("albedo_mae_global", "  after one factor", "{:.3f}", ""),
    ("albedo_mae_raw", "  without any", "{:.3f}", ""),
    ("albedo_scale", "  the one factor", "{:.3f}", ""),
    ("relit_psnr", "PSNR under other lights", "{:.1f} dB", "within outlines, after one factor"),
    ("relit_psnr_raw", "  without any", "{:.1f} dB", ""),
    ("relit_psnr_channels", "  after one per channel", "{:.1f} dB", ""),
    ("relit_scale", "  the one factor", "{:.3f}", ""),
    ("relit_ssim", "SSIM under other lights", "{:.3f}", ""),
    ("relit_lpips", "LPIPS under other lights", "{:.3f}", "AlexNet"),
)
_MISSING = ("lpips_missing", "material_missing", "relit_missing")
_FACTORS = (
    "factors are least squares in linear light, of the whole object: brightness and colour of "
    "light and of surface cannot be told apart in photographs"
)


def summary_table(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return title, columns, rows and caption of what `judge` found."""
    rows = [
        [words, form.format(found[name]), beside]
        for name, words, form, beside in _ROWS
        if found.get(name) is not None
    ]
    against = found["truth"] if found.get("compared_views") else None
    compared = f"surfaces as {found['compared_views']} views see them" if against else None
    aligned = any(found.get(name) is not None for name in ("albedo_mae", "relit_psnr"))
    said = [
        compared or f"no ground truth: {found['truth']}",
        *([_FACTORS] if aligned else []),
        *dict.fromkeys(found[name] for name in _MISSING if found.get(name)),
    ]
    return {
        "title": _judged(found) + (f", against true {against}" if against else ""),
        "columns": ["", "found", ""],
        "rows": rows,
        "caption": "; ".join(said),
    }


def _judged(found: Mapping[str, Any]) -> str:
    steps = (("shape", found.get("step")), ("material", found.get("material_step")))
    named = [f"the {what} at step {step}" for what, step in steps if step is not None]
    return " and ".join(named) or "the mesh"
