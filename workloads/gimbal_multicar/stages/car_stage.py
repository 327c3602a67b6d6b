"""What the stages share that make one row of every car at every moment.

Real cars come from a folder that may hold hundreds of gigabytes. Its content is never hashed: an
item carries names, sizes and times of its files (`inventory`), and the hash of all of them enters
the stage's fingerprint, while the folder's own path does not. Made cars depend on the seed alone.
All such stages have the same items in the same order, so their rows can be joined by car and frame.
"""

from __future__ import annotations

import functools
import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.data.stage import BadItem, DataStage, Item
from gimbal.experiment.stage import StageInputs
from gimbal_multicar.data_settings import DataSettings, SyntheticSettings
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.fusing import open_dataset
from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.stages.inventory import Inventory
from gimbal_multicar.stages.made import made_items
from gimbal_vision.errors import VisionError

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.reader import Opv2v

_PLACES: dict[str, Any] = {"root": None, "depth_root": None, "cache_dir": None}


@dataclass(frozen=True, kw_only=True)
class CarStage(DataStage):
    """One row of each car and frame.

    Attributes:
        settings: `config.data` without places of this machine, and without what is not used.
        root: Folder of the data set; none: made streets.
        depth_root: Folder of depth files.
        cache_dir: See `DataSettings`.
    """

    libraries: ClassVar[tuple[str, ...]] = (
        *DataStage.libraries,
        "numba",
        "opencv-python-headless",
        "pillow",
        "PyYAML",
        "pypcd4",
        "embreex",
    )
    bookkeeping: ClassVar[frozenset[str]] = DataStage.bookkeeping | set(_PLACES)

    settings: DataSettings
    root: Path | None = None
    depth_root: Path | None = None
    cache_dir: Path | None = None
    items_per_block: int = 16

    @property
    def data(self) -> DataSettings:
        """The settings with the places of this machine."""
        places = {name: getattr(self, name) for name in _PLACES}
        return self.settings.model_copy(update=places)

    def outside_state(self) -> str:
        """Names, sizes and times of the files of all items; nothing for made cars."""
        if self.root is None:
            return ""
        items = json.dumps(self._real_items())
        return hashlib.sha256(items.encode()).hexdigest()

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        """One item a car and frame, in the order of splits, scenarios, frames and cars.

        Raises:
            DatasetError: There is no data set, or the settings leave nothing of it.
        """
        made = self.root is None
        items = made_items(self.data, self.seed) if made else self._real_items()
        if not items:
            raise DatasetError(
                f"{self.root or 'the made set'} has no moment of {self.settings.min_cars} cars or "
                f"more in {', '.join(self.settings.splits)}",
                "lower data.min_cars, or name other splits in data.splits",
            )
        return items

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        """Read or draw one car at one moment.

        Raises:
            BadItem: A file of it is missing or broken.
        """
        try:
            if self.root is None:
                yield self.made_row(item)
            else:
                yield self.real_row(opened(self.data), frame_id(item), item)
        except (DatasetError, VisionError) as error:
            raise BadItem(error.message, error.remedy) from error

    @abstractmethod
    def made_row(self, item: Item) -> Mapping[str, Any]:
        """Draw one car of a made street."""

    @abstractmethod
    def real_row(self, dataset: Opv2v, frame: CarFrameId, item: Item) -> Mapping[str, Any]:
        """Read one car of a data set."""

    def _real_items(self) -> list[Item]:
        data = self.data
        dataset = open_dataset(data)
        inventory = Inventory(_roots(data))
        return [
            {
                "id": str(frame),
                "split": frame.split,
                "scenario": frame.scenario,
                "agent": frame.agent,
                "frame": frame.frame,
                "files": inventory.digest(frame),
            }
            for split in dataset.splits
            for frame in dataset.car_frames(split)
        ]


def car_stage_fields(data: DataSettings, seed: int) -> dict[str, Any]:
    """Return the fields of a `CarStage` that a config asks for.

    Settings that do not bear on the result (where files lie; streets where files are named; then
    the seed too, unless exposures are jittered) are left out of those that enter the fingerprint.
    """
    unused: dict[str, Any] = {"max_bad_share": DataSettings().max_bad_share}
    if data.root is not None:
        unused["synthetic"] = SyntheticSettings()
    return {
        "settings": data.model_copy(update=_PLACES | unused),
        "seed": seed if data.root is None or data.exposure_jitter else 0,
        "root": data.root.absolute() if data.root else None,
        "depth_root": data.depth_root.absolute() if data.depth_root else None,
        "cache_dir": data.cache_dir,
        "max_bad_share": data.max_bad_share,
    }


def frame_id(item: Item) -> CarFrameId:
    """Return which car and moment of a data set an item is."""
    return CarFrameId(
        split=item["split"], scenario=item["scenario"], agent=item["agent"], frame=item["frame"]
    )


def opened(data: DataSettings) -> Opv2v:
    """Return the data set, opened once in each worker process."""
    return _opened(data.model_dump_json())


@functools.lru_cache(maxsize=4)
def _opened(data_json: str) -> Opv2v:
    return open_dataset(DataSettings.model_validate_json(data_json))


def _roots(data: DataSettings) -> list[Path]:
    """Return every folder in which files of a car are looked for."""
    from gimbal_multicar.opv2v.depth import HETERO_FOLDER

    if data.root is None:
        return []
    if data.depth_root is not None:
        return [data.root, data.depth_root, data.depth_root / HETERO_FOLDER]
    return [data.root, data.root / HETERO_FOLDER, data.root.parent / HETERO_FOLDER]
