"""Does the gradient reach every part of the module, and how far do the weights move?

One entry a report: for each top-level submodule the gradient's norm, the share of its entries that
are missing, zero or NaN, and the length of the update relative to the weights. A healthy ratio is
around 1e-3; a share of zeros near 1 is a dead or detached part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gimbal.experiment.files import atomic_write_json, read_json

REPORT_FILE = "gradient_report.json"
_ENTRIES_KEPT = 200

Entry = dict[str, dict[str, float]]


def parts_of(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the trained parameters by top-level submodule; the module's own are `(own)`."""
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            top = name.split(".", 1)[0] if "." in name else "(own)"
            parts.setdefault(top, []).append(parameter)
    return parts


def gradient_entry(parts: Mapping[str, Sequence[nn.Parameter]]) -> Entry:
    """Return norm and shares of each part's gradient."""
    return {name: _gradients(parameters) for name, parameters in parts.items()}


def _gradients(parameters: Sequence[nn.Parameter]) -> dict[str, float]:
    total = sum(p.numel() for p in parameters)
    missing = sum(p.numel() for p in parameters if p.grad is None)
    present = [p.grad.detach() for p in parameters if p.grad is not None]
    counts = torch.zeros(3, dtype=torch.float64, device=parameters[0].device)
    for gradient in present:
        counts += torch.stack(
            [gradient.double().square().sum(), (gradient == 0).sum(), gradient.isnan().sum()]
        )
    square, zero, nan = counts.tolist()
    return {
        "parameters": float(total),
        "norm": square**0.5,
        "none_share": missing / total,
        "zero_share": zero / total,
        "nan_share": nan / total,
    }


class Movement:
    """Measures how far one optimizer step moves each part.

    Args:
        parts: Parameters by part; their values are copied.
    """

    def __init__(self, parts: Mapping[str, Sequence[nn.Parameter]]) -> None:
        self._parts = parts
        self._before = {n: [p.detach().clone() for p in ps] for n, ps in parts.items()}

    def add_to(self, entry: Entry) -> None:
        """Add `update_ratio`, the norm of the update over that of the weights, to each part."""
        for name, parameters in self._parts.items():
            before = self._before[name]
            moved = _norm([p.detach() - b for p, b in zip(parameters, before, strict=True)])
            entry[name]["update_ratio"] = moved / max(_norm(before), 1e-12)


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack([t.double().square().sum() for t in tensors]).sum().sqrt())


def append(out_dir: Path, step: int, entry: Entry) -> None:
    """Add an entry to gradient_report.json; entries of a step at or after this one go.

    Raises:
        StorageError: If it cannot be written.
    """
    path = out_dir / REPORT_FILE
    entries = read_json(path)["entries"] if path.exists() else []
    kept = [old for old in entries if old["step"] < step]
    if len(kept) >= _ENTRIES_KEPT:
        kept = kept[:1] + kept[-(_ENTRIES_KEPT - 2) :]
    atomic_write_json(path, {"entries": [*kept, {"step": step, "modules": entry}]})


def summary(out_dir: Path) -> dict[str, Any]:
    """Return the last entry in few numbers: parts without gradient, and the span of the ratios."""
    path = out_dir / REPORT_FILE
    if not path.exists():
        return {}
    last = read_json(path)["entries"][-1]
    modules: Entry = last["modules"]
    ratios = [part["update_ratio"] for part in modules.values() if "update_ratio" in part]
    dead = [n for n, part in modules.items() if part["zero_share"] + part["none_share"] >= 1.0]
    return {
        "step": last["step"],
        "dead": dead,
        "norm": {name: part["norm"] for name, part in modules.items()},
        "update_ratio": {"min": min(ratios), "max": max(ratios)} if ratios else {},
    }
