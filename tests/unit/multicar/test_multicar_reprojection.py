"""Made scenes against geometry that shares no code with what wrote or read them.

Poses are turned into matrices by three elementary rotations, written out from CARLA's convention
(left-handed: x forward, y right, z up; yaw to the right, pitch up, roll to the right). Pixels and
points come back through the reader. Each measure must also fail for a mistake of the kind it is
there for: a flipped yaw or pitch, Euler angles in the wrong order, swapped side cameras, an
inverted extrinsic. The street is hilly, because on a flat one half of these mistakes do not show.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from street_support import Street, write_street

from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.opv2v.reader import Opv2v

Array = np.ndarray[Any, Any]
Matrices = Callable[[list[float]], Array]

CV_FROM_UE = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def about_z(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def about_y(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def about_x(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def pose_matrix(rotation: Array, position: list[float]) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, position
    return matrix


def right(p: list[float]) -> Array:
    roll, yaw, pitch = np.radians(p[3:])
    return pose_matrix(about_z(yaw) @ about_y(-pitch) @ about_x(-roll), p[:3])


def yaw_flipped(p: list[float]) -> Array:
    return right([*p[:4], -p[4], p[5]])


def pitch_flipped(p: list[float]) -> Array:
    return right([*p[:5], -p[5]])


def roll_flipped(p: list[float]) -> Array:
    return right([*p[:3], -p[3], *p[4:]])


def order_reversed(p: list[float]) -> Array:
    roll, yaw, pitch = np.radians(p[3:])
    return pose_matrix(about_x(roll) @ about_y(pitch) @ about_z(yaw), p[:3])


def moved(matrix: Array, points: Array) -> Array:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def box_matrix(entry: dict[str, Any], X: Matrices) -> Array:
    """The pose of a box: its centre is given in the vehicle's own axes."""
    vehicle = X([*entry["location"], *entry["angle"]])
    return vehicle @ pose_matrix(np.eye(3), entry["center"])


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    return write_street(tmp_path_factory.mktemp("street"))


@pytest.fixture(scope="module")
def reader(street: Street) -> Opv2v:
    return Opv2v(street.root, splits=("train",))


def frame_id(street: Street, agent: str) -> CarFrameId:
    return CarFrameId(street.made.split, street.made.name, agent, street.frame)


def points_ue(street: Street, reader: Opv2v, agent: str) -> Array:
    """The LiDAR's points in its own Unreal axes."""
    return _points_ue(reader, frame_id(street, agent))


@functools.cache
def _points_ue(reader: Opv2v, which: CarFrameId) -> Array:
    points = reader.points(reader.read(which)).points
    return points.astype(np.float64) @ CV_FROM_UE


def share_of_hits_in_boxes(street: Street, reader: Opv2v, agent: str, X: Matrices) -> float:
    """Of the points that hit a vehicle, how many lie in that very vehicle's box."""
    document, owners = street.document(agent), street.point_owners(agent)
    world = moved(X(document["lidar_pose"]), points_ue(street, reader, agent))
    inside = 0
    for vehicle_id, entry in document["vehicles"].items():
        local = moved(np.linalg.inv(box_matrix(entry, X)), world[owners == vehicle_id])
        inside += int((np.abs(local) <= np.array(entry["extent"]) + 0.06).all(axis=-1).sum())
    return inside / int((owners >= 0).sum())


def share_of_pixels_in_boxes(
    street: Street, agent: str, X: Matrices, cameras: dict[str, str] | None = None
) -> float:
    """Of the pixels that show a listed vehicle, how many its projected box surrounds.

    Boxes that reach behind the camera are left out.
    """
    document, masks = street.document(agent), street.pixel_owners(agent)
    inside = total = 0
    for name, mask in masks.items():
        camera = document[(cameras or {}).get(name, name)]
        for vehicle_id, entry in document["vehicles"].items():
            rows, columns = np.nonzero(mask == vehicle_id)
            if not len(rows) or corners_cv(entry, document[name], right)[:, 2].min() <= 0.2:
                continue
            total += len(rows)
            cv = corners_cv(entry, camera, X)
            if cv[:, 2].min() > 0.2:
                pixels = (cv @ np.array(camera["intrinsic"]).T)[:, :2] / cv[:, 2:]
                low, high = pixels.min(axis=0) - 0.6, pixels.max(axis=0) + 0.6
                centres = np.stack([columns + 0.5, rows + 0.5], axis=-1)
                inside += int(((centres >= low) & (centres <= high)).all(axis=-1).sum())
    assert total > 500
    return inside / total


def corners_cv(entry: dict[str, Any], camera: dict[str, Any], X: Matrices) -> Array:
    """A box's corners in a camera's OpenCV axes."""
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    camera_from_box = np.linalg.inv(X(camera["cords"])) @ box_matrix(entry, X)
    return moved(camera_from_box, signs * entry["extent"]) @ CV_FROM_UE.T


def share_of_depth_agreeing(
    street: Street,
    reader: Opv2v,
    agent: str,
    X: Matrices,
    cameras: dict[str, str] | None = None,
) -> float:
    """Of the LiDAR points a camera should see, how many find their depth in its image.

    A camera stands elsewhere, so a few points are hidden from it.
    """
    document = street.document(agent)
    depths = reader.depths(reader.read(frame_id(street, agent)))
    assert depths.source == "npy"
    world = moved(X(document["lidar_pose"]), points_ue(street, reader, agent))
    agreeing = total = 0
    for name, depth in depths.z_depth_m.items():
        camera = document[(cameras or {}).get(name, name)]
        cv = moved(np.linalg.inv(X(camera["cords"])), world) @ CV_FROM_UE.T
        cv = cv[cv[:, 2] > 0.5]
        pixel = (cv @ np.array(camera["intrinsic"]).T)[:, :2] / cv[:, 2:]
        column, row = np.floor(pixel).astype(int).T
        seen = (column >= 0) & (column < depth.shape[1]) & (row >= 0) & (row < depth.shape[0])
        z = depth[row[seen], column[seen]]
        agreeing += int((np.abs(z - cv[seen, 2]) < 0.06 * cv[seen, 2] + 0.05).sum())
        total += int(seen.sum())
    return agreeing / total


def extrinsic_error(street: Street, agent: str, X: Matrices) -> float:
    """Largest difference between `extrinsic` and T_camera<-LiDAR from the poses."""
    document = street.document(agent)
    errors = [
        np.linalg.inv(X(document[name]["cords"])) @ X(document["lidar_pose"])
        - np.array(document[name]["extrinsic"])
        for name in ("camera0", "camera1", "camera2", "camera3")
    ]
    return float(np.abs(errors).max())


def every_agent(street: Street, measure: Callable[[str], float]) -> float:
    return min(measure(agent) for agent in street.made.agents)


def test_the_street_has_slopes_that_a_mistake_shows_on(street: Street) -> None:
    poses = np.array([street.document(a)["lidar_pose"] for a in street.made.agents])
    assert np.abs(poses[:, 5]).max() > 2.0
    assert np.abs(poses[:, 3]).max() > 1.0


def test_points_that_hit_a_vehicle_lie_in_its_box(street: Street, reader: Opv2v) -> None:
    assert every_agent(street, lambda a: share_of_hits_in_boxes(street, reader, a, right)) > 0.999


@pytest.mark.parametrize("wrong", [yaw_flipped, pitch_flipped, roll_flipped, order_reversed])
def test_points_miss_the_boxes_for_wrong_angles(
    street: Street, reader: Opv2v, wrong: Matrices
) -> None:
    assert every_agent(street, lambda a: share_of_hits_in_boxes(street, reader, a, wrong)) < 0.9


def test_boxes_surround_the_pixels_of_their_cars(street: Street) -> None:
    assert every_agent(street, lambda a: share_of_pixels_in_boxes(street, a, right)) > 0.999


@pytest.mark.parametrize("wrong", [yaw_flipped, pitch_flipped, order_reversed])
def test_boxes_miss_the_pixels_for_wrong_angles(street: Street, wrong: Matrices) -> None:
    assert every_agent(street, lambda a: share_of_pixels_in_boxes(street, a, wrong)) < 0.9


def test_boxes_miss_the_pixels_for_swapped_side_cameras(street: Street) -> None:
    swapped = {"camera1": "camera2", "camera2": "camera1"}
    assert every_agent(street, lambda a: share_of_pixels_in_boxes(street, a, right, swapped)) < 0.8


def test_depth_of_the_cameras_agrees_with_the_lidar(street: Street, reader: Opv2v) -> None:
    assert every_agent(street, lambda a: share_of_depth_agreeing(street, reader, a, right)) > 0.9


def test_depth_disagrees_for_swapped_side_cameras(street: Street, reader: Opv2v) -> None:
    swapped = {"camera1": "camera2", "camera2": "camera1"}

    def measure(agent: str) -> float:
        return share_of_depth_agreeing(street, reader, agent, right, swapped)

    assert every_agent(street, measure) < 0.8


def test_the_extrinsic_is_camera_from_lidar(street: Street) -> None:
    assert max(extrinsic_error(street, a, right) for a in street.made.agents) < 1e-9


@pytest.mark.parametrize("wrong", [yaw_flipped, pitch_flipped, order_reversed])
def test_the_extrinsic_tells_wrong_angles(street: Street, wrong: Matrices) -> None:
    assert max(extrinsic_error(street, a, wrong) for a in street.made.agents) > 0.01


def test_the_inverse_extrinsic_is_not_mistaken_for_it(street: Street) -> None:
    document = street.document(street.made.agents[0])
    camera = document["camera0"]
    lidar_from_camera = np.linalg.inv(right(document["lidar_pose"])) @ right(camera["cords"])
    assert np.abs(lidar_from_camera - camera["extrinsic"]).max() > 1.0


def test_two_cars_agree_on_the_cars_both_see(street: Street, reader: Opv2v) -> None:
    """One box in the world, and points of both LiDARs inside it."""
    agents = street.made.agents
    shared = points = 0
    for i, first in enumerate(agents):
        for second in agents[i + 1 :]:
            one, other = street.document(first), street.document(second)
            for vehicle_id in set(one["vehicles"]) & set(other["vehicles"]):
                a = box_matrix(one["vehicles"][vehicle_id], right)
                b = box_matrix(other["vehicles"][vehicle_id], right)
                assert np.abs(a - b).max() < 1e-9
                shared += 1
                half = np.array(one["vehicles"][vehicle_id]["extent"]) + 0.06
                for agent, document in ((first, one), (second, other)):
                    world = moved(right(document["lidar_pose"]), points_ue(street, reader, agent))
                    local = moved(np.linalg.inv(a), world)
                    points += bool((np.abs(local) <= half).all(axis=-1).any())
    assert shared >= 5
    assert points == 2 * shared


def test_a_car_stands_where_another_one_sees_it(street: Street) -> None:
    seen = 0
    for agent in street.made.agents:
        for vehicle_id, entry in street.document(agent)["vehicles"].items():
            if str(vehicle_id) in street.made.agents:
                seen += 1
                own = street.document(str(vehicle_id))["true_ego_pos"]
                assert [*entry["location"], *entry["angle"]] == pytest.approx(own, abs=1e-6)
    assert seen >= 2


def test_the_reader_gives_the_same_poses_in_opencv_axes(street: Street, reader: Opv2v) -> None:
    """The world, the car and the camera are all conjugated, as the reader's contract says."""
    B = pose_matrix(CV_FROM_UE, [0.0, 0.0, 0.0])
    for agent in street.made.agents:
        frame, document = reader.read(frame_id(street, agent)), street.document(agent)
        expected = B @ right(document["lidar_pose"]) @ B.T
        assert frame.world_from_lidar == pytest.approx(expected, abs=1e-9)
        for camera in frame.rig.cameras:
            cords = B @ right(document[camera.name]["cords"]) @ B.T
            assert frame.world_from_car @ camera.car_from_camera == pytest.approx(cords, abs=1e-9)
        assert [b.id for b in frame.vehicles] == [str(i) for i in document["vehicles"]]
