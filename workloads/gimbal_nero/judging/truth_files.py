"""Where ground truth lies beside photographs; light to import, since plans are made with it."""

from __future__ import annotations

from pathlib import Path

TRUTH_MESH = Path("truth") / "mesh.ply"
TRUTH_MATERIAL = Path("truth") / "brdf.json"
TRUTH_RELIT = Path("truth") / "relit"
DEPTH_ENDING = "-depth.png"
_CAMERA_ENDING = "-camera.pkl"


def has_true_mesh(root: Path) -> bool:
    """Tell whether a folder of photographs has a true mesh, which has normals too."""
    return (root / TRUTH_MESH).is_file()


def has_true_material(root: Path) -> bool:
    """Tell whether a folder says what the object is made of."""
    return (root / TRUTH_MATERIAL).is_file()


def has_relit_truth(root: Path) -> bool:
    """Tell whether a folder has pictures of the object under another light."""
    return has_true_mesh(root) and any((root / TRUTH_RELIT).glob("*/*.png"))


def has_true_depth(root: Path) -> bool:
    """Tell whether a folder has Glossy-Synthetic's cameras and a depth image of each."""
    cameras = [path.name for path in root.glob(f"*{_CAMERA_ENDING}")] if root.is_dir() else []
    names = [name.removesuffix(_CAMERA_ENDING) for name in cameras]
    return bool(names) and all((root / f"{name}{DEPTH_ENDING}").is_file() for name in names)
