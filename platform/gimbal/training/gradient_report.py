"""Does the gradient reach every part of the module, and how far do the weights move?

One entry a report: for each top-level submodule the gradient's norm, the share of its entries that
are missing, zero or NaN, how many tensors have no gradient at all and which, and the length of the
update relative to the weights. A healthy ratio is around 1e-3. Shares are of a whole part, so a cut
deep inside shows in the dead tensors alone; a ReLU that never fires leaves single zeros, not a
whole tensor of them.
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
_NAMES_KEPT = 8
"""Dead tensors named in each part; all are counted."""

Entry = dict[str, dict[str, Any]]
Parts = dict[str, dict[str, nn.Parameter]]


def parts_of(module: nn.Module) -> Parts:
    """Return the trained parameters by name, by top-level submodule; its own are `(own)`."""
    parts: Parts = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            top, _, rest = name.partition(".") if "." in name else ("(own)", "", name)
            parts.setdefault(top, {})[rest] = parameter
    return parts


def gradient_entry(parts: Parts) -> Entry:
    """Return norm and shares of each part's gradient, and the tensors that have none at all."""
    return {name: _gradients(parameters) for name, parameters in parts.items()}


def _gradients(parameters: Mapping[str, nn.Parameter]) -> dict[str, Any]:
    """Describe one part; a tensor is dead where its gradient is missing or zero everywhere."""
    total = sum(p.numel() for p in parameters.values())
    present = {n: p.grad.detach() for n, p in parameters.items() if p.grad is not None}
    missing = sum(p.numel() for n, p in parameters.items() if n not in present)
    counts = _counts(list(present.values()))
    zeros = {n: row[1] == g.numel() for (n, g), row in zip(present.items(), counts, strict=True)}
    dead = [name for name in parameters if zeros.get(name, True)]
    return {
        "parameters": float(total),
        "norm": sum(row[0] for row in counts) ** 0.5,
        "none_share": missing / total,
        "zero_share": sum(row[1] for row in counts) / total,
        "nan_share": sum(row[2] for row in counts) / total,
        "dead_tensors": float(len(dead)),
        "dead": ", ".join(dead[:_NAMES_KEPT]),
    }


def _counts(gradients: Sequence[Tensor]) -> list[list[float]]:
    """Return sum of squares, zeros and NaN of each gradient, in one transfer."""
    rows = [
        torch.stack([g.double().square().sum(), (g == 0).sum().double(), g.isnan().sum().double()])
        for g in gradients
    ]
    found: list[list[float]] = torch.stack(rows).tolist() if rows else []
    return found


class Movement:
    """Measures how far one optimizer step moves each part.

    Args:
        parts: Parameters by part; their values are copied.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = {name: list(parameters.values()) for name, parameters in parts.items()}
        self._before = {n: [p.detach().clone() for p in ps] for n, ps in self._parts.items()}

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
    """Return the last entry in few numbers: what has no gradient, and the span of the ratios."""
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
        "dead_tensors": sum(int(part.get("dead_tensors", 0)) for part in modules.values()),
        "norm": {name: part["norm"] for name, part in modules.items()},
        "update_ratio": {"min": min(ratios), "max": max(ratios)} if ratios else {},
    }
