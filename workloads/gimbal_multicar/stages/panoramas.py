"""Stage `panoramas`: every car at every moment as one row of Arrow.

Made cars are drawn straight into panoramas, in the same columns as real ones, which are fused from
their cameras' images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gimbal.data.schema import BlockSchema
from gimbal.data.stage import Item
from gimbal.errors import ConfigError
from gimbal_multicar.data_settings import DataSettings
from gimbal_multicar.fusing import fuse
from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.rows import panorama_row, panorama_schema
from gimbal_multicar.stages.car_stage import CarStage, car_stage_fields
from gimbal_multicar.stages.made import made_row

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.reader import Opv2v

PANORAMAS = "panoramas"


@dataclass(frozen=True, kw_only=True)
class PanoramasStage(CarStage):
    """Fuses every car's cameras; see `panoramas_stage`, which makes it from a config."""

    @property
    def schema(self) -> BlockSchema:
        """One row a car and frame."""
        return panorama_schema(self.settings.panorama)

    def made_row(self, item: Item) -> Mapping[str, Any]:
        """Draw one car's panorama."""
        return made_row(self.data, self.seed, item, self.item_seed(item))

    def real_row(self, dataset: Opv2v, frame: CarFrameId, item: Item) -> Mapping[str, Any]:
        """Fuse one car's images."""
        fused = fuse(dataset, frame, self.data, self.item_seed(item))
        return panorama_row(fused.frame, fused.image, fused.source)


def panoramas_stage(data: DataSettings, seed: int) -> PanoramasStage:
    """Return the stage that a config asks for; see `car_stage_fields`.

    Raises:
        ConfigError: The source's crop is asked for where there are no images to crop.
    """
    if data.legacy_crop and data.root is None:
        raise ConfigError(
            "data.legacy_crop: made panoramas are drawn without images that could be cropped",
            "write a set with `gimbal multicar synthesize --out DIR` and name it: data.root=DIR",
        )
    return PanoramasStage(name=PANORAMAS, **car_stage_fields(data, seed))
