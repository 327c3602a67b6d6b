"""What does a panorama cost against bare cv2.remap, and what is it worth against the truth?

    python benchmarks/panorama.py               # ms per car, 4 x (800 x 600) -> 1008 x 168
    python benchmarks/panorama.py --parallax    # shifts of near things, against W/2pi atan(b/d)
    python benchmarks/panorama.py --seams       # seams and errors by warp and blend, made streets

The bare peer only looks pixels up: the same output pixels, camera by camera, colours bilinear and
depth nearest, maps precomputed; it joins nothing, mixes nothing, turns no depth into a range and
makes no mask. It is timed with float maps and with cv2's fixed-point maps, and the faster of the
two counts. Rounds are interleaved, so that a busy machine disturbs all alike; cv2 has one thread.
Least CPU times are compared. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise

import cv2
import numpy as np

from gimbal_multicar.config import SyntheticSettings
from gimbal_multicar.synthesis.cameras import render_images
from gimbal_multicar.synthesis.fast import render_panoramas
from gimbal_multicar.synthesis.scenario import scenario
from gimbal_multicar.synthesis.world import world_of
from gimbal_vision.cameras import Equirectangular, Pinhole, PinholeCameras
from gimbal_vision.meshes import Mesh
from gimbal_vision.panoramas.builder import PanoramaBuilder
from gimbal_vision.panoramas.model import BuildOptions, PanoramaImage
from gimbal_vision.panoramas.rig import Rig, RigCamera
from gimbal_vision.panoramas.seams import SeamMeter, image_steps
from gimbal_vision.poses import make_pose
from gimbal_vision.rendering import Shading
from gimbal_vision.rendering.raster import RasterRenderer
from taking_turns import measure

GOAL = 1.3
PANORAMA = Equirectangular.from_vfov(168, 1008, 60.0)
FOCAL_PX = 335.639852470912
LENS = Pinhole(fx=FOCAL_PX, fy=FOCAL_PX, cx=400.0, cy=300.0, height=600, width=800)
OFFSETS_M = (3.0, 1.5, 0.59)
DISTANCES_M = (5.0, 10.0, 20.0, 40.0, 80.0)
SKY_M = 1000.0

Images = tuple[Rig, list[np.ndarray], list[np.ndarray], PanoramaImage]


def street(index: int) -> Images:
    """Return one made car: rig, images, z-depths and what its panorama's centre really sees."""
    made = scenario(SyntheticSettings(scenarios=6, agents=3, frames=2), 0, index)
    frame, agent = made.frames[0], made.agents[0]
    car, truth = render_panoramas(made, frame, agent, PANORAMA)
    moment = world_of(made).moment(frame, agent)
    found = render_images(made, moment, car.rig, car.world_from_car).values()
    return car.rig, [i.rgb for i in found], [i.z_depth_m for i in found], truth


def bare_blocks(rig: Rig, fixed_point: bool) -> list[tuple[int, tuple[object, ...]]]:
    """Return (camera, colour maps, depth maps) of each run of columns one camera fills."""
    table = PanoramaBuilder(rig, PANORAMA, BuildOptions(blend="nearest")).table
    blocks = []
    for i in range(len(rig.cameras)):
        columns = np.flatnonzero((table.camera_index == i).any(axis=0))
        for run in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
            window = np.s_[:, run[0] : run[-1] + 1]
            x, y = (np.ascontiguousarray(a[window]) for a in (table.x, table.y))
            maps = (x, y)
            if fixed_point:
                maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
            blocks.append((i, (*maps, x, y)))
    return blocks


def bare(rig: Rig, images: list[np.ndarray], depths: list[np.ndarray], fixed: bool):
    """Return a call that looks up colours and depths and does nothing else."""
    blocks = bare_blocks(rig, fixed)

    def call() -> None:
        for i, (first, second, x, y) in blocks:
            cv2.remap(images[i], first, second, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            cv2.remap(depths[i], x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)

    return call


def contenders(data: Images) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    rig, images, depths, _ = data

    def building(**options: str) -> Callable[[], object]:
        builder = PanoramaBuilder(rig, PANORAMA, BuildOptions(**options))
        return lambda: builder.build(images, depths)

    return {
        "bare cv2.remap, float maps": bare(rig, images, depths, False),
        "bare cv2.remap, fixed-point maps": bare(rig, images, depths, True),
        "builder, nearest": building(blend="nearest"),
        "builder, feather": building(),
        "builder, splat": building(warp="splat"),
        "builder, fixed_point": building(warp="fixed_point"),
        "table made for each frame": lambda: PanoramaBuilder(rig, PANORAMA).build(images, depths),
    }


def speed(rounds: int) -> dict[str, object]:
    """Time everything; the light calls get ten times the rounds of the heavy ones."""
    calls = contenders(street(0))
    heavy = {n: c for n, c in calls.items() if n.split(", ")[-1] in ("splat", "fixed_point")}
    heavy["table made for each frame"] = calls["table made for each frame"]
    timed = measure({n: c for n, c in calls.items() if n not in heavy}, 10 * rounds)
    timed |= measure(heavy, rounds)
    peer = min(row["min_cpu_ms"] for name, row in timed.items() if name.startswith("bare"))
    print(f"{'':34}{'min ms':>9}{'median ms':>11}{'min CPU ms':>12}{'x bare':>8}")
    for name, row in timed.items():
        row["ratio"] = row["min_cpu_ms"] / peer
        print(
            f"{name:34}{row['min_ms']:9.2f}{row['median_ms']:11.2f}{row['min_cpu_ms']:12.2f}"
            f"{row['ratio']:8.2f}"
        )
    ratio = timed["builder, feather"]["ratio"]
    table = timed["table made for each frame"]["min_cpu_ms"]
    return {
        "results": timed,
        "ratio": ratio,
        "goal": GOAL,
        "passed": ratio <= GOAL,
        "table_each_frame": table / timed["builder, feather"]["min_cpu_ms"],
    }


def stripe(offset_m: float, distance_m: float) -> tuple[Rig, list[np.ndarray], list[np.ndarray]]:
    """Return a camera `offset_m` ahead that looks right, at a wall with a stripe beside the centre.

    A wall and no free-standing post: the inverse iteration finds a thin post nowhere, because no
    start lies on it.
    """
    right = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    pose = make_pose(right, np.array([0.0, 0.0, offset_m]))
    edges = distance_m * np.array([-3.0, -0.015, 0.015, 3.0])
    quads = [
        [[distance_m, y, z] for y, z in ((-99, a), (99, a), (99, b), (-99, b))]
        for a, b in pairwise(edges)
    ]
    mesh = Mesh(
        vertices=np.array(quads).reshape(-1, 3),
        faces=np.array([[4 * q + i for i in t] for q in range(3) for t in ((0, 1, 2), (0, 2, 3))]),
        vertex_colors=np.repeat(np.uint8([0, 255, 0]), 4)[:, None].repeat(3, axis=1),
    )
    cameras = PinholeCameras(LENS.K, pose, LENS.height, LENS.width)
    renderer = RasterRenderer(Shading(mode="unlit"))
    seen = renderer.render(mesh, cameras, ("rgb", "depth"))
    depth = np.where(seen.depth[0] > 0, seen.depth[0], np.float32(SKY_M))
    return Rig((RigCamera("camera0", LENS, pose),)), [seen.rgb[0]], [depth]


def column_of(panorama: PanoramaImage) -> float:
    """Return where the stripe is: the mean column of its brightness on the horizon's rows."""
    brightness = panorama.rgb[80:88, :, 0].astype(np.float64).sum(axis=0)
    return float(((np.arange(PANORAMA.width) + 0.5) * brightness).sum() / brightness.sum())


def parallax() -> dict[str, object]:
    """Measure how far the stripe is from where the centre sees it, column 756."""
    rows = []
    print("columns from where the centre sees it: predicted, and measured by rotation, splat,")
    print(f"fixed_point\n{'b (m)':>6}{'d (m)':>7}{'W/2pi atan':>12}", end="")
    print("".join(f"{w:>13}" for w in ("rotation", "splat", "fixed_point")))
    for offset in OFFSETS_M:
        for distance in DISTANCES_M:
            rig, images, depths = stripe(offset, distance)
            row = {"b_m": offset, "d_m": distance}
            row["predicted_px"] = float(PANORAMA.fx * np.arctan(offset / distance))
            for warp in ("rotation", "splat", "fixed_point"):
                builder = PanoramaBuilder(rig, PANORAMA, BuildOptions(warp=warp))
                row[f"{warp}_px"] = column_of(builder.build(images, depths)) - 756.0
            rows.append(row)
            print(f"{offset:6.2f}{distance:7.0f}{row['predicted_px']:12.1f}", end="")
            print("".join(f"{row[f'{w}_px']:13.2f}" for w in ("rotation", "splat", "fixed_point")))
    worst = max(abs(r["rotation_px"] - r["predicted_px"]) for r in rows)
    left = max(max(abs(r["splat_px"]), abs(r["fixed_point_px"])) for r in rows)
    print(
        f"rotation is within {worst:.2f} columns of the formula, the warps within {left:.2f} of 0"
    )
    return {"parallax": rows, "worst_px": worst, "left_px": left}


def seams(streets: int) -> dict[str, object]:
    """Compare warps and blends with the truth, over made streets."""
    cases: dict[str, list[dict[str, float]]] = {}
    for index in range(streets):
        rig, images, depths, truth = street(index)
        for warp in ("rotation", "splat", "fixed_point"):
            for blend in ("nearest", "feather"):
                options = BuildOptions(warp=warp, blend=blend)
                builder = PanoramaBuilder(rig, PANORAMA, options)
                row = quality(builder, images, depths, truth)
                cases.setdefault(f"{warp}, {blend}", []).append(row)
    means = {
        name: {key: float(np.mean([r[key] for r in rows])) for key in rows[0]}
        for name, rows in cases.items()
    }
    keys = list(next(iter(means.values())))
    print(f"means of {streets} made streets; colours in grey levels of 255")
    print(f"{'':22}" + "".join(f"{key:>16}" for key in keys))
    for name, row in means.items():
        print(f"{name:22}" + "".join(f"{row[key]:16.3f}" for key in keys))
    return {"seams": means}


def quality(
    builder: PanoramaBuilder,
    images: list[np.ndarray],
    depths: list[np.ndarray],
    truth: PanoramaImage,
) -> dict[str, float]:
    """Return how one panorama compares with the truth and within itself."""
    built = builder.build(images, depths)
    overlaps = [s for s in SeamMeter(builder).seams(images, depths) if s.overlap_pixels]
    weights = [s.overlap_pixels for s in overlaps]
    border, _ = image_steps(built)
    real, _ = image_steps(replace(truth, camera_index=built.camera_index))
    both = built.valid & truth.valid
    error = np.abs(built.range_m - truth.range_m)[both] / truth.range_m[both]
    return {
        "overlap_error": float(np.average([s.overlap_error for s in overlaps], weights=weights)),
        "border_step": border,
        "step_of_truth": real,
        "colour_error": float(np.abs(built.rgb.astype(int) - truth.rgb).mean()),
        "range_off_5pct": float((error > 0.05).mean()),
        "valid": float(built.valid.mean()),
        "truly_valid": float(truth.valid.mean()),
        "moved": built.moved_share,
    }


def main() -> None:
    """Run, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--parallax", action="store_true")
    parser.add_argument("--seams", action="store_true")
    parser.add_argument("--streets", type=int, default=4)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    summary: dict[str, object] = {
        "benchmark": "panorama",
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "load": os.getloadavg()[0],
        "versions": {n: version(n) for n in ("numpy", "numba", "opencv-python-headless")},
    }
    if arguments.parallax:
        summary |= parallax()
    if arguments.seams:
        summary |= seams(arguments.streets)
    if not (arguments.parallax or arguments.seams):
        summary |= speed(arguments.rounds)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
