"""What importing the package costs."""

from __future__ import annotations

import subprocess
import sys


def test_cameras_meshes_and_metrics_load_neither_torch_nor_trimesh():
    """Together over a second at the start of every data worker, for parts many never use."""
    code = (
        "import sys, gimbal_vision.spheres, gimbal_vision.meshes, gimbal_vision.sampling, "
        "gimbal_vision.pointclouds, gimbal_vision.lie; "
        "print(sorted({'torch', 'trimesh', 'scipy', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
