"""What a terminal shows of a judged shape."""

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
    said = [
        compared or f"no ground truth: {found['truth']}",
        *([found["lpips_missing"]] if found.get("lpips_missing") else []),
    ]
    return {
        "title": f"the shape at step {found['step']}"
        + (f", against true {against}" if against else ""),
        "columns": ["", "found", ""],
        "rows": rows,
        "caption": "; ".join(said),
    }
