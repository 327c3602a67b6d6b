"""The losses a second time: numpy, one sample, view and pixel after the other, scipy's rotations.

Written from the formulas and not from the code under test; slow, and used on tiny images only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from gimbal_vision.multiview.views import Predictions, Truth

Pair = tuple[float, float]


def rho(e: float) -> float:
    return 3.0 * ((e**2 / 0.00375 + 1.0) ** 0.25 - 1.0)


def f(x: np.ndarray) -> np.ndarray:
    n = np.linalg.norm(x)
    return x * 0.0 if n == 0 else x / n * np.log(1.0 + n)


class Sample:
    """One sample of a batch as numpy arrays, its points in view 0's frame."""

    def __init__(self, truth: Truth, predictions: Predictions, b: int) -> None:
        self.views = [v for v in range(truth.present.shape[1]) if truth.present[b, v]]
        t = {
            name: getattr(truth, name)[b].numpy()
            for name in ("pts3d_cam", "depth_along_ray", "valid_mask", "non_ambiguous_mask")
        }
        self.t = t
        self.p = {
            name: getattr(predictions, name)[b].detach().numpy()
            for name in (
                "pts3d", "pts3d_cam", "ray_directions", "depth_along_ray", "cam_trans",
                "cam_quats", "metric_scaling_factor", "conf", "non_ambiguous_mask_logits",
            )
        }  # fmt: skip
        self.rays = truth.ray_directions_cam.numpy()
        angle = np.ones(self.rays.shape[:2])
        self.w = angle if truth.solid_angle is None else truth.solid_angle.numpy()
        self.w = self.w / self.w.mean()
        first = np.linalg.inv(truth.camera_pose[b, 0].numpy())
        self.pose = [first @ truth.camera_pose[b, v].numpy() for v in range(len(truth.present[b]))]
        self.real = not truth.is_synthetic[b]
        self.metric = bool(truth.is_metric_scale[b])
        known = [(v, i, j) for v in self.views for i, j in np.argwhere(t["valid_mask"][v])]
        self.known = known
        self.true_world = {k: self._world(k) for k in known}
        if known:
            self.z = float(np.mean([np.linalg.norm(x) for x in self.true_world.values()]))
            self.z_pred = float(np.mean([np.linalg.norm(self.p["pts3d"][k]) for k in known]))

    def _world(self, k: tuple[int, int, int]) -> np.ndarray:
        pose = self.pose[k[0]]
        return pose[:3, :3] @ self.t["pts3d_cam"][k] + pose[:3, 3]

    def pixels(self, loss: Any, *, trim: bool = False) -> Pair:
        total = count = 0.0
        for v in self.views:
            here = [k for k in self.known if k[0] == v]
            if not here:
                continue
            values = np.array([loss(k) for k in here])
            weights = np.array([self.w[k[1:]] for k in here])
            keep = np.argsort(values)
            if trim and self.real:
                keep = keep[: len(keep) - int(np.floor(0.05 * len(keep)))]
            total += np.average(values[keep], weights=weights[keep]) * weights.sum()
            count += weights.sum()
        return total, count

    def world_points(self) -> Pair:
        def loss(k: Any) -> float:
            e = f(self.p["pts3d"][k] / self.z_pred) - f(self.true_world[k] / self.z)
            c = self.p["conf"][k]
            return float(c * rho(float(np.linalg.norm(e))) - 0.2 * np.log(c))

        return self.pixels(loss)

    def cam_points(self) -> Pair:
        def loss(k: Any) -> float:
            e = f(self.p["pts3d_cam"][k] / self.z_pred) - f(self.t["pts3d_cam"][k] / self.z)
            return rho(float(np.linalg.norm(e)))

        return self.pixels(loss, trim=True)

    def depth(self) -> Pair:
        def loss(k: Any) -> float:
            found, true = self.p["depth_along_ray"][k], self.t["depth_along_ray"][k]
            return rho(float(np.linalg.norm(f(found / self.z_pred) - f(true / self.z))))

        return self.pixels(loss, trim=True)

    def everywhere(self, value: Any) -> Pair:
        places = [(v, *ij) for v in self.views for ij in np.ndindex(self.w.shape)]
        return (
            sum(value(k) * self.w[k[1:]] for k in places),
            sum(self.w[k[1:]] for k in places),
        )

    def ray_terms(self) -> Pair:
        return self.everywhere(
            lambda k: rho(float(np.linalg.norm(self.p["ray_directions"][k] - self.rays[k[1:]])))
        )

    def mask(self, positive: float) -> Pair:
        def loss(k: Any) -> float:
            said = 1.0 / (1.0 + np.exp(-self.p["non_ambiguous_mask_logits"][k]))
            true = self.t["non_ambiguous_mask"][k]
            return float(-positive * np.log(said) if true else -np.log(1.0 - said))

        return self.everywhere(loss)

    def scale(self) -> Pair:
        if not (self.metric and self.known):
            return 0.0, 0.0
        return rho(float(np.log1p(self.z_pred) - np.log1p(self.z))), 1.0

    def poses(self, *, absolute: bool, pairwise: bool) -> dict[str, Pair]:
        def rotation(v: int) -> Rotation:
            return Rotation.from_quat(self.p["cam_quats"][v])

        true = {v: Rotation.from_matrix(self.pose[v][:3, :3]) for v in self.views}
        found = {v: rotation(v) for v in self.views}
        t_true = {v: self.pose[v][:3, 3] / self.z for v in self.views}
        t_found = {v: self.p["cam_trans"][v] / self.z_pred for v in self.views}
        sets = []
        if absolute:
            sets += [(found[v], true[v], t_found[v], t_true[v]) for v in self.views]
        if pairwise:
            sets += [
                (
                    found[i].inv() * found[j], true[i].inv() * true[j],
                    found[i].inv().apply(t_found[j] - t_found[i]),
                    true[i].inv().apply(t_true[j] - t_true[i]),
                )
                for i in self.views for j in self.views if i != j
            ]  # fmt: skip
        quats = sum(self._turn(a.as_quat(), b.as_quat()) for a, b, _, _ in sets)
        trans = sum(rho(float(np.linalg.norm(a - b))) for _, _, a, b in sets)
        return {"pose_quats": (quats, len(sets)), "pose_trans": (trans, len(sets))}

    @staticmethod
    def _turn(a: np.ndarray, b: np.ndarray) -> float:
        return min(rho(float(np.linalg.norm(a - b))), rho(float(np.linalg.norm(a + b))))

    def pose_errors(self) -> dict[str, Pair]:
        others = self.views[1:]
        metres = sum(np.linalg.norm(self.p["cam_trans"][v] - self.pose[v][:3, 3]) for v in others)
        degrees = 0.0
        for v in others:
            true = Rotation.from_matrix(self.pose[v][:3, :3])
            turn = true.inv() * Rotation.from_quat(self.p["cam_quats"][v])
            degrees += float(np.degrees(turn.magnitude()))
        return {
            "pose_trans_m": (float(metres), len(others)),
            "pose_rot_deg": (degrees, len(others)),
        }

    def normals(self, *, wraps: bool) -> Pair:
        height, width = self.w.shape
        total = count = 0.0
        if self.real:
            return total, count
        for v in self.views:
            for i, j in np.ndindex(height - 1, width if wraps else width - 1):
                right = (j + 1) % width
                quad = [(v, i, j), (v, i, right), (v, i + 1, right), (v, i + 1, j)]
                for k in range(4):
                    three = quad[k - 1], quad[k], quad[(k + 1) % 4]
                    if all(self.t["valid_mask"][x] for x in three):
                        weight = self.w[quad[k][1:]]
                        angle = self._angle(
                            *(self._normal(s["pts3d_cam"], three) for s in (self.p, self.t))
                        )
                        total += weight * self._smooth(angle) / max(height, width)
                        count += weight
        return total, count

    @staticmethod
    def _normal(points: np.ndarray, three: Any) -> np.ndarray:
        before, here, after = (points[x] for x in three)
        return np.cross(here - before, after - here)

    @staticmethod
    def _angle(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))

    @staticmethod
    def _smooth(angle_deg: float) -> float:
        def smooth_l1(degrees: float) -> float:
            x, beta = np.radians(degrees), np.radians(3.0)
            return float(0.5 * x * x / beta if x < beta else x - 0.5 * beta)

        return smooth_l1(float(np.clip(angle_deg, 1.0, 90.0))) - smooth_l1(1.0)

    def gradients(self, *, wraps: bool) -> Pair:
        height, width = self.w.shape
        total = count = 0.0
        if self.real:
            return total, count
        for v in self.views:
            for s in (1, 2, 4, 8):
                for i, j in np.ndindex(height, width):
                    if i % s or j % s:
                        continue
                    pairs = [(i + s, j)] if i + s < height else []
                    if j + s < width or wraps:
                        pairs.append((i, (j + s) % width))
                    for other in pairs:
                        weight, off = self._pair((v, i, j), (v, *other))
                        total += s * s * weight * off
                        count += s * s * weight / 8.0
        return total, count

    def _pair(self, a: Any, b: Any) -> Pair:
        valid = self.t["valid_mask"]
        if not (valid[a] and valid[b]):
            return 0.0, 0.0
        off = [
            float(np.log(self.p["depth_along_ray"][k][0] / self.t["depth_along_ray"][k][0]))
            for k in (a, b)
        ]
        return (self.w[a[1:]] + self.w[b[1:]]) / 2.0, abs(off[0] - off[1])

    def readings(self) -> dict[str, Pair]:
        if not self.metric:
            return {}
        true = self.t["depth_along_ray"]
        found = self.p["depth_along_ray"]
        return {
            "range_m": self.pixels(lambda k: abs(found[k][0] - true[k][0])),
            "range_rel": self.pixels(lambda k: abs(found[k][0] / true[k][0] - 1.0)),
            "points_m": self.pixels(
                lambda k: float(np.linalg.norm(self.p["pts3d"][k] - self.true_world[k]))
            ),
            "scale_log": (abs(float(np.log(self.z_pred / self.z))), 1.0),
            "ray_deg": self.everywhere(
                lambda k: self._angle(self.p["ray_directions"][k], self.rays[k[1:]])
            ),
        }


def reference_terms(
    truth: Truth, predictions: Predictions, *, pairwise: bool, wraps: bool, positive: float
) -> dict[str, Pair]:
    """Return {term: (sum, count)} of a batch whose samples all know some range."""
    found: dict[str, list[Pair]] = {}
    for b in range(len(truth.present)):
        sample = Sample(truth, predictions, b)
        terms = {
            "world_points": sample.world_points(),
            "cam_points": sample.cam_points(),
            "depth": sample.depth(),
            "rays": sample.ray_terms(),
            "scale": sample.scale(),
            "mask": sample.mask(positive),
            "normals": sample.normals(wraps=wraps),
            "gradients": sample.gradients(wraps=wraps),
            **sample.poses(absolute=True, pairwise=pairwise),
            **sample.pose_errors(),
            **sample.readings(),
        }
        for name, pair in terms.items():
            found.setdefault(name, []).append(pair)
    return {
        name: (sum(s for s, _ in pairs), sum(c for _, c in pairs)) for name, pairs in found.items()
    }
