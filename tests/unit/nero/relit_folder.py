"""Relit pictures as stage `relight` writes them, and true ones as `gimbal nero synthesize` does."""

from __future__ import annotations

import json

import cv2
import numpy as np


def relit_folder(root, lights):
    """Write `relight/` and `truth/relit/` below a folder, and return the former.

    Args:
        root: Where.
        lights: {light: {view: (linear [H, W, 3], sRGB bytes or None)}}.
    """
    folder = root / "relight"
    told = []
    for light, views in lights.items():
        (folder / f"light-{light}").mkdir(parents=True)
        for view, (said, true) in views.items():
            covered = np.ones(said.shape[:2], np.float16)
            np.savez(folder / f"light-{light}" / f"{view}.npz", radiance=said, coverage=covered)
            shown = np.clip(255 * np.asarray(said, float) ** (1 / 2.2), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"light-{light}" / f"{view}.png"), shown[..., ::-1])
            if true is not None:
                write_truth(root / "truth" / "relit" / light / f"{view}.png", true)
        names = {v: f"light-{light}/{v}" for v in views}
        told.append(
            {
                "name": light,
                "source": f"truth/relit/{light}/light.hdr",
                "truth": f"truth/relit/{light}",
                "views": [
                    {"view": v, "png": f"{n}.png", "linear": f"{n}.npz"} for v, n in names.items()
                ],
            }
        )
    (folder / "relight.json").write_text(json.dumps({"lights": told, "orbit": {}}))
    return folder


def write_truth(path, picture):
    """Write sRGB bytes [H, W, 3]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1])
