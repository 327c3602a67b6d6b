"""LPIPS, where its weights are already on this machine; nothing is ever downloaded."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gimbal_nero.capture import Bytes

_PACKAGES = ("lpips", "torchvision")
_WEIGHTS = "alexnet-owt-*.pth"


def why_no_lpips() -> str | None:
    """Return what is missing for LPIPS and how to get it; None where nothing is."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return f"LPIPS needs pip install {' '.join(missing)}"
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if next(folder.glob(_WEIGHTS), None) is None:
        return (
            f"LPIPS needs AlexNet's weights in {folder}: run once, with a network, "
            "python -c \"import lpips; lpips.LPIPS(net='alex')\""
        )
    return None


def mean_lpips(pairs: Sequence[tuple[Bytes, Bytes]]) -> float:
    """Return the mean LPIPS (AlexNet, version 0.1) of pairs of [H, W, 3] pictures."""
    import torch

    net: Any = importlib.import_module("lpips").LPIPS(net="alex", verbose=False).eval()

    def prepared(picture: Bytes) -> torch.Tensor:
        return torch.as_tensor(picture).permute(2, 0, 1)[None].float() / 127.5 - 1.0

    with torch.no_grad():
        found = [float(net(prepared(said), prepared(true))) for said, true in pairs]
    return sum(found) / len(found)
