"""Write one car and moment in OPV2V's layout: the counterpart of the reader.

The YAML file comes last, because a frame exists where its YAML file does: a writer that is stopped
leaves no frame that only seems whole. Poses go from OpenCV's axes back to Unreal's, in which every
tool for OPV2V expects them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gimbal.experiment.files import ensure_folder, storage_errors
from gimbal_multicar.opv2v.axes import to_unreal, world_to_x
from gimbal_multicar.opv2v.boxes import numbers_from_box
from gimbal_multicar.opv2v.model import CarFrame, VehicleBox
from gimbal_multicar.opv2v.naming import depth_npy_name, depth_png_name
from gimbal_multicar.opv2v.pcd import Encoding, LidarPoints, write_pcd

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How files are written.

    Attributes:
        png_compression: 0 to 9. 1 is some times faster than 9, for files a little larger.
        pcd: `binary` as in most of OPV2V, `ascii` as in some, or `binary_compressed`.
        depth: `npy` in metres, or `opv2v_h`: PNG in whole metres, 255 for that and all beyond.
    """

    png_compression: int = 1
    pcd: Encoding = "binary"
    depth: Literal["npy", "opv2v_h"] = "npy"


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePayload:
    """What a car measured.

    Attributes:
        images: [H, W, 3] uint8 RGB by the cameras' names.
        points: The LiDAR's sweep; none: no point cloud is written.
        depths_m: [H, W] float32 z-depth in metres by the cameras' names; may be empty.
        depth_folder: Where depth goes, `<depth_root>/<split>/<scenario>/<agent>`; none: beside the
            images.
    """

    images: Mapping[str, Bytes]
    points: LidarPoints | None = None
    depths_m: Mapping[str, Floats] = field(default_factory=dict)
    depth_folder: Path | None = None


def write_frame(
    frame: CarFrame,
    payload: FramePayload,
    options: WriteOptions | None = None,
    *,
    plan_trajectory: Sequence[Sequence[float]] = (),
) -> None:
    """Write `NNNNNN.yaml`, `.pcd`, `_cameraN.png` and depth into `frame.folder`.

    Args:
        frame: Calibration, poses and boxes; all of it reads back as it is, up to rounding.
        payload: Images, points and depth.
        options: Formats; none: the defaults.
        plan_trajectory: See `frame_document`.

    Raises:
        StorageError: A file cannot be written.
    """
    chosen = options or WriteOptions()
    ensure_folder(frame.folder)
    for name, image in payload.images.items():
        write_png(frame.image_path(name), image, chosen.png_compression)
    if payload.points is not None:
        with storage_errors(frame.pcd_path, "write"):
            write_pcd(frame.pcd_path, payload.points, chosen.pcd)
    _write_depths(frame, payload, chosen)
    write_document(frame.yaml_path, frame_document(frame, plan_trajectory=plan_trajectory))


def frame_document(frame: CarFrame, *, plan_trajectory: Sequence[Sequence[float]] = ()) -> Document:
    """Return what OPV2V's YAML file of a frame holds.

    Args:
        frame: The frame. `lidar_from_cameras_written` is written, inverted, as `extrinsic`; where
            it is NaN there is none.
        plan_trajectory: [x, y, speed] in Unreal's axes.

    Returns:
        Plain values under OPV2V's keys, in Unreal's axes: metres, degrees (roll, yaw, pitch), km/h.
        `predicted_ego_pos` equals `true_ego_pos`: no noise is made.
    """
    document: Document = {}
    for i, camera in enumerate(frame.rig.cameras):
        pose = frame.world_from_car @ camera.car_from_camera
        entry: Document = {"cords": _six(pose)}
        written = frame.lidar_from_cameras_written[i]
        if np.isfinite(written).all():
            entry["extrinsic"] = np.linalg.inv(to_unreal(written)).tolist()
        document[camera.name] = entry | {"intrinsic": camera.camera.K.tolist()}
    if np.isfinite(frame.ego_speed_kmh):
        document["ego_speed"] = float(frame.ego_speed_kmh)
    document["lidar_pose"] = _six(frame.world_from_lidar)
    document["plan_trajectory"] = [[float(x) for x in point] for point in plan_trajectory]
    if np.isfinite(frame.world_from_ego).all():
        document["predicted_ego_pos"] = _six(frame.world_from_ego)
        document["true_ego_pos"] = _six(frame.world_from_ego)
    document["vehicles"] = {_key(v.id): _vehicle(v) for v in frame.vehicles}
    return document


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a mapping of plain values as OPV2V's tools do: block style, keys in order.

    Raises:
        StorageError: The file cannot be written.
    """
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(dict(document), Dumper=dumper, default_flow_style=False)
    with storage_errors(path, "write"):
        path.write_text(text, encoding="utf-8")


def write_png(path: Path, image: Bytes, compression: int = 1) -> None:
    """Write an RGB [H, W, 3] or grey [H, W] uint8 image.

    Raises:
        StorageError: The file cannot be written.
    """
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    with storage_errors(path, "write"):
        path.write_bytes(data.tobytes())


def _write_depths(frame: CarFrame, payload: FramePayload, options: WriteOptions) -> None:
    folder = payload.depth_folder or frame.folder
    if payload.depths_m:
        ensure_folder(folder)
    for name, depth in payload.depths_m.items():
        if options.depth == "opv2v_h":
            known = np.nan_to_num(depth, nan=0.0, posinf=255.0, neginf=0.0)
            metres = np.clip(np.rint(known), 0, 255).astype(np.uint8)
            write_png(folder / depth_png_name(frame.id.frame, name), metres)
            continue
        path = folder / depth_npy_name(frame.id.frame, name)
        with storage_errors(path, "write"):
            np.save(path, np.asarray(depth, np.float32))


def _six(pose_opencv: np.ndarray[Any, Any]) -> list[float]:
    numbers: list[float] = world_to_x(to_unreal(pose_opencv)).tolist()
    return numbers


def _key(vehicle_id: str) -> int | str:
    try:
        return int(vehicle_id)
    except ValueError:
        return vehicle_id


def _vehicle(box: VehicleBox) -> Document:
    n = numbers_from_box(box).tolist()
    return {
        "angle": n[3:6],
        "center": n[6:9],
        "extent": n[9:12],
        "location": n[:3],
        "speed": n[12],
    }
