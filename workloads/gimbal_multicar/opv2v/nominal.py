"""The rig every car of OPV2V was meant to have, for checks and tests that need no file.

Real frames carry their own calibration and nothing here replaces it. Mounts are those of OpenCDA,
in Unreal's axes relative to the vehicle; the rig is relative to the LiDAR, which is the default
reference and the panorama's centre.
"""

from __future__ import annotations

import numpy as np

from gimbal_vision.cameras import Pinhole
from gimbal_vision.panoramas.rig import Rig, RigCamera

NOMINAL_CAMERA = Pinhole(
    fx=335.639852470912, fy=335.639852470912, cx=400.0, cy=300.0, height=600, width=800
)
"""800 x 600 with a horizontal angle of view of 100 degrees."""

LIDAR_MOUNT_UE = (-0.5, 0.0, 1.9)
"""Metres forward, right and up of the vehicle's origin."""

CAMERA_MOUNTS_UE = {
    "camera0": (2.5, 0.0, 1.0, 0.0),
    "camera1": (0.0, 0.3, 1.8, 100.0),
    "camera2": (0.0, -0.3, 1.8, -100.0),
    "camera3": (-2.0, 0.0, 1.5, 180.0),
}
"""Metres forward, right and up of the vehicle's origin, and degrees of yaw to the right."""


def nominal_opv2v_rig(height: int = 600, width: int = 800) -> Rig:
    """Return OPV2V's four cameras in the LiDAR's frame, OpenCV axes (x right, y down, z forward).

    Args:
        height: Of the images in pixels; the angles of view stay those of 800 x 600.
        width: Likewise.
    """
    camera = NOMINAL_CAMERA.resized(height, width)
    return Rig(
        tuple(RigCamera(name, camera, _lidar_from(*m)) for name, m in CAMERA_MOUNTS_UE.items())
    )


def _lidar_from(
    forward_m: float, right_m: float, up_m: float, yaw_deg: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    cosine, sine = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    pose = np.eye(4)
    pose[:3, :3] = [[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]]
    lidar = LIDAR_MOUNT_UE
    pose[:3, 3] = right_m - lidar[1], lidar[2] - up_m, forward_m - lidar[0]
    return pose
