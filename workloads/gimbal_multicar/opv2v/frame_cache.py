"""Parsed frames, kept on disk so that their YAML is parsed once.

One file a car, to which each parsed frame is appended as one record; records carry the size and
time of their YAML file and a checksum. Appending needs no rewriting, so any number of processes
may fill one cache; a record that was cut off by a crash is skipped and its frame parsed again. It
is a cache: whatever is wrong with it costs time, never a result.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import struct
import zlib
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from gimbal_multicar.opv2v.boxes import VEHICLE_COLUMNS
from gimbal_multicar.opv2v.frame_yaml import FrameRecord, read_frame_yaml

FORMAT = "opv2v-frames-2"
"""Part of the folder's name: change it with the record's layout or the parser's meaning."""

_MAGIC = b"GOF1"
_HEAD = struct.Struct("<4sII")
_CARS_IN_MEMORY = 16
_LOG = logging.getLogger(__name__)

Stamp = tuple[int, int]
"""Bytes and nanoseconds of a YAML file."""


class FrameCache:
    """Reads frames through a cache; safe to share between threads and to send to processes.

    Args:
        root: The data set, which names the cache's folder.
        folder: Where caches lie; none: nothing is kept on disk.
    """

    def __init__(self, root: Path, folder: Path | None) -> None:
        place = hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:16]
        self._root = root
        self._folder = folder / FORMAT / place if folder else None
        self._forget()

    def read(self, path: Path) -> FrameRecord:
        """Return what `read_frame_yaml` returns.

        Raises:
            DatasetError: See `read_frame_yaml`; errors are not kept.
        """
        if self._folder is None:
            return read_frame_yaml(path)
        stamp = _stamp(path)
        file = (self._folder / path.parent.relative_to(self._root)).with_suffix(".frames")
        with self._lock:
            kept = self._records(file).get(path.stem)
        if stamp is not None and kept is not None and kept[0] == stamp:
            with contextlib.suppress(ValueError, TypeError):
                return _decoded(kept[1])
        record = read_frame_yaml(path)
        if stamp is not None:
            self._keep(file, path.stem, stamp, _encoded(record))
        return record

    def _records(self, file: Path) -> dict[str, tuple[Stamp, bytes]]:
        records = self._cars.get(file)
        if records is None:
            records = self._cars[file] = _load(file)
            while len(self._cars) > _CARS_IN_MEMORY:
                self._cars.popitem(last=False)
        self._cars.move_to_end(file)
        return records

    def _keep(self, file: Path, frame: str, stamp: Stamp, payload: bytes) -> None:
        with self._lock:
            self._records(file)[frame] = (stamp, payload)
            if self._writable:
                self._append(file, _sealed(frame, stamp, payload))

    def _append(self, file: Path, record: bytes) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as out:
                fcntl.flock(out, fcntl.LOCK_EX)
                out.write(record)
        except OSError as error:
            self._writable = False
            _LOG.warning("parsed frames are not kept: %s cannot be written (%s)", file, error)

    def _forget(self) -> None:
        self._lock = Lock()
        self._writable = True
        self._cars: OrderedDict[Path, dict[str, tuple[Stamp, bytes]]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self._root, "folder": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._root, self._folder = state["root"], state["folder"]
        self._forget()


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _sealed(frame: str, stamp: Stamp, payload: bytes) -> bytes:
    body = json.dumps([frame, *stamp]).encode() + b"\n" + payload
    return _HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body


def _load(file: Path) -> dict[str, tuple[Stamp, bytes]]:
    """Return the last sound record of each frame; damaged parts are skipped."""
    try:
        data = file.read_bytes()
    except OSError:
        return {}
    records: dict[str, tuple[Stamp, bytes]] = {}
    at = data.find(_MAGIC)
    while 0 <= at <= len(data) - _HEAD.size:
        _, length, checksum = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(body) == length and zlib.crc32(body) == checksum:
            head, _, payload = body.partition(b"\n")
            with contextlib.suppress(ValueError, TypeError):
                frame, size, time_ns = json.loads(head)
                records[frame] = ((size, time_ns), payload)
            at = data.find(_MAGIC, at + _HEAD.size + length)
        else:
            at = data.find(_MAGIC, at + 1)
    return records


def _encoded(record: FrameRecord) -> bytes:
    names = json.dumps([record.camera_names, record.vehicle_ids]).encode()
    numbers = [getattr(record, name) for name, _ in _layout(0, 0)]
    return b"\n".join((names, np.concatenate([np.ravel(n) for n in numbers]).tobytes()))


def _decoded(payload: bytes) -> FrameRecord:
    names, _, numbers = payload.partition(b"\n")
    cameras, vehicles = json.loads(names)
    flat = np.frombuffer(numbers, np.float64).copy()
    values: dict[str, Any] = {}
    at = 0
    for name, shape in _layout(len(cameras), len(vehicles)):
        size = int(np.prod(shape))
        values[name] = flat[at : at + size].reshape(shape)
        at += size
    values["ego_speed_kmh"] = float(values["ego_speed_kmh"])
    return FrameRecord(camera_names=tuple(cameras), vehicle_ids=tuple(vehicles), **values)


def _layout(cameras: int, vehicles: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return (
        ("world_from_cameras", (cameras, 4, 4)),
        ("extrinsics", (cameras, 4, 4)),
        ("intrinsics", (cameras, 3, 3)),
        ("world_from_lidar", (4, 4)),
        ("world_from_ego", (4, 4)),
        ("ego_speed_kmh", ()),
        ("vehicles", (vehicles, VEHICLE_COLUMNS)),
    )
