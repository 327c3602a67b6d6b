"""Where ground truth lies beside photographs; light to import, since plans are made with it."""

from __future__ import annotations

from pathlib import Path

TRUTH_MESH = Path("truth") / "mesh.ply"
DEPTH_ENDING = "-depth.png"


def has_truth(root: Path) -> bool:
    """Tell whether a folder of photographs has a true mesh or depth images."""
    depth = next(root.glob(f"*{DEPTH_ENDING}"), None) if root.is_dir() else None
    return (root / TRUTH_MESH).is_file() or depth is not None
