"""`rollout.gif`: a camera travels from view to view while the cloud grows.

The cameras are drawn nearer to the object than they stand, so that it fills the picture; what the
camera shows at the right is rendered from its true place.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gimbal_nbv.playing.colours import INK, NEW, PAPER, QUIET, RULE, Colour
from gimbal_nbv.playing.play import Played
from gimbal_nbv.playing.scene import Scan, Scene, draw_known, reduced
from gimbal_nbv.playing.sheet import font
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.poses import look_at

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float64]

MAX_BYTES = 3_000_000
_STAGE, _LIVE, _EDGE = 400, 208, 16
_WIDTH = _STAGE + _LIVE + 2 * _EDGE
_ORBIT = 0.82
"""Radius in diagonals at which cameras are drawn."""
_AWAY, _FOV_DEG = 4.0, 27.0
_TRAVEL, _TRAVEL_MS, _SEEN_MS, _LAST_MS = 10, 60, 1000, 2600
_AHEAD, _HALF = 0.12, 0.07
_SQUARE = ((-_HALF, -_HALF), (_HALF, -_HALF), (_HALF, _HALF), (-_HALF, _HALF))
"""The frame of a drawn camera, and how far it is before its centre, in diagonals."""
_PATH: Colour = (186, 182, 174)
_COLOURS = (128, 64, 32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Frame:
    """One moment.

    Attributes:
        direction: Where the camera is [3].
        step: Views taken so far, minus 1.
        arrived: The view was just taken: its new points are lit up.
        ms: How long it is shown.
    """

    direction: Vectors
    step: int
    arrived: bool
    ms: int


def animate(played: Played, scene: Scene, scan: Scan, viewpoint: Vectors) -> bytes:
    """Return the GIF, with fewer colours where it would exceed `MAX_BYTES`."""
    frames = list(moments(played.directions))
    pictures = _draw(played, scene, scan, viewpoint, frames)
    data = b""
    for colours in _COLOURS:
        data = encode(pictures, [frame.ms for frame in frames], colours)
        if len(data) <= MAX_BYTES:
            break
    return data


def moments(directions: Vectors) -> Iterator[Frame]:
    """Yield the frames of a journey along great circles."""
    for step, direction in enumerate(directions):
        if step > 0:
            for share in np.arange(1, _TRAVEL) / _TRAVEL:
                eased = share * share * (3 - 2 * share)
                between = along(directions[step - 1], direction, eased)
                yield Frame(direction=between, step=step - 1, arrived=False, ms=_TRAVEL_MS)
        last = step == len(directions) - 1
        yield Frame(direction=direction, step=step, arrived=True, ms=_SEEN_MS)
        if last:
            yield Frame(direction=direction, step=step, arrived=False, ms=_LAST_MS)


def along(a: Vectors, b: Vectors, share: float) -> Vectors:
    """Return the unit vector at a share of the great circle from a to b.

    Between opposite directions every way is equally long; the one by way of an axis is taken.
    """
    cosine = float(np.clip(a @ b, -1, 1))
    if cosine < -1 + 1e-9:
        axis = np.eye(3)[int(np.abs(a).argmin())]
        side = axis - (axis @ a) * a
        side /= np.linalg.norm(side)
        return np.asarray(np.cos(np.pi * share) * a + np.sin(np.pi * share) * side)
    angle = np.arccos(cosine)
    if angle < 1e-9:
        return b
    return np.asarray((np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle))


def encode(pictures: Sequence[Image.Image], durations_ms: Sequence[int], colours: int) -> bytes:
    """Write a looping GIF; all frames share one palette, so that nothing flickers."""
    palette = _mosaic(pictures).quantize(colours, Image.Quantize.MEDIANCUT)
    flat = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    buffer = io.BytesIO()
    flat[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=flat[1:],
        duration=list(durations_ms),
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def _mosaic(pictures: Sequence[Image.Image]) -> Image.Image:
    chosen = [pictures[int(i)] for i in np.linspace(0, len(pictures) - 1, min(6, len(pictures)))]
    width, height = chosen[0].size
    mosaic = Image.new("RGB", (width, height * len(chosen)))
    for row, picture in enumerate(chosen):
        mosaic.paste(picture, (0, row * height))
    return mosaic


def _draw(
    played: Played,
    scene: Scene,
    scan: Scan,
    viewpoint: Vectors,
    frames: Sequence[Frame],
) -> list[Image.Image]:
    live = scene.photographs(np.stack([frame.direction for frame in frames]), _LIVE)
    camera = PinholeCameras.from_fov(
        look_at(_AWAY * viewpoint, up=scene.up)[None], _FOV_DEG, 2 * _STAGE, 2 * _STAGE
    )
    backdrop = scene.backdrop(camera)
    known = {
        key: draw_known(scene, backdrop, scan, key[0], highlight=key[1])
        for key in {(frame.step, frame.arrived) for frame in frames}
    }
    return [
        _frame(
            played,
            _staged(played, scene, camera, known[frame.step, frame.arrived], frame),
            picture,
            frame,
        )
        for frame, picture in zip(frames, live, strict=True)
    ]


def _frame(played: Played, stage: Pixels, live: Pixels, frame: Frame) -> Image.Image:
    picture = Image.new("RGB", (_WIDTH, _STAGE), PAPER)
    picture.paste(Image.fromarray(stage), (0, 0))
    picture.paste(Image.fromarray(live), (_STAGE + _EDGE, _EDGE))
    _words(picture, played, frame)
    return picture


def _staged(
    played: Played, scene: Scene, camera: PinholeCameras, known: Pixels, frame: Frame
) -> Pixels:
    """Draw what is behind the object, the object, what is in front of it."""
    stage = Image.new("RGB", (known.shape[1], known.shape[0]), PAPER)
    taken = list(played.directions[: frame.step + 1])
    lines = _paths([*taken, frame.direction])
    for direction in taken:
        lines += _pyramid(direction, scene.up, QUIET)
    lines += _pyramid(frame.direction, scene.up, NEW)
    viewpoint = camera.positions[0]
    _stroke(stage, camera, [line for line in lines if line.middle @ viewpoint < 0])
    shown = Image.fromarray((known != np.asarray(PAPER)).any(axis=-1))
    stage.paste(Image.fromarray(known), mask=shown)
    _stroke(stage, camera, [line for line in lines if line.middle @ viewpoint >= 0])
    return reduced(np.asarray(stage))


def _words(picture: Image.Image, played: Played, frame: Frame) -> None:
    draw = ImageDraw.Draw(picture)
    left, top = _STAGE + _EDGE, _EDGE + _LIVE
    draw.rectangle((left - 1, _EDGE - 1, left + _LIVE, top), outline=RULE)
    covered = float(played.rollout.coverage[0, frame.step])
    draw.text((left, top + 14), played.play.mesh.name[:24], QUIET, font(14))
    draw.text((left, top + 36), f"view {frame.step + 1} of {len(played.views)}", INK, font(18))
    draw.text((left, top + 70), f"{covered:.1%}", INK, font(34))
    draw.text((left, top + 112), "of the surface covered", QUIET, font(14))
    draw.rectangle((left, top + 140, left + _LIVE, top + 150), fill=RULE)
    draw.rectangle((left, top + 140, left + covered * _LIVE, top + 150), fill=NEW)


@dataclass(frozen=True, eq=False, kw_only=True)
class Line:
    """A line in space.

    Attributes:
        points: In diagonals [N,3].
        colour: Of the stroke.
        width: In pixels of the unreduced picture.
    """

    points: Vectors
    colour: Colour
    width: int

    @property
    def middle(self) -> Vectors:
        """Its centre of mass [3]; tells whether it is before or behind the object."""
        return np.asarray(self.points.mean(axis=0))


def _paths(stops: Sequence[Vectors]) -> list[Line]:
    lines = []
    for a, b in itertools.pairwise(stops):
        way = np.stack([_ORBIT * along(a, b, share) for share in np.linspace(0, 1, 25)])
        lines += [Line(points=np.stack(p), colour=_PATH, width=3) for p in itertools.pairwise(way)]
    return lines


def _pyramid(direction: Vectors, up: tuple[float, float, float], colour: Colour) -> list[Line]:
    """Return a camera: its centre and the frame it looks through, towards the origin."""
    pose = look_at(_ORBIT * direction, up=up)
    corners = np.array([(x, y, _AHEAD) for x, y in _SQUARE]) @ pose[:3, :3].T + pose[:3, 3]
    frame = Line(points=np.vstack([corners, corners[:1]]), colour=colour, width=4)
    edges = [
        Line(points=np.stack([pose[:3, 3], corner]), colour=colour, width=3) for corner in corners
    ]
    return [frame, *edges]


def _stroke(stage: Image.Image, camera: PinholeCameras, lines: Sequence[Line]) -> None:
    draw = ImageDraw.Draw(stage)
    for line in lines:
        pixels = camera.project(line.points)[0][0]
        draw.line([(x, y) for x, y in pixels.tolist()], line.colour, line.width, joint="curve")
