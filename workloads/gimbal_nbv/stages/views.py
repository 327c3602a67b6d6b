"""Stage `views`: every candidate's images of every object, with intrinsics and pose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import DataStage, Item
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.config import OracleSettings, ViewSettings
from gimbal_nbv.stages.reading import object_items, open_rows, protocol_of


@dataclass(frozen=True, kw_only=True)
class ViewsStage(DataStage):
    """Renders all candidates of one object into one row."""

    libraries: ClassVar[tuple[str, ...]] = (
        *DataStage.libraries,
        "numba",
        "embreex",
        "pillow",
        "warp-lang",
        "pytorch3d",
    )

    settings: ViewSettings
    inputs: tuple[str, ...] = ("meshes",)
    items_per_block: int = 4

    @property
    def schema(self) -> BlockSchema:
        """One row an object; [M, H, W] images of the M candidates."""
        M, S = self.settings.candidates, self.settings.image_size
        images = {
            "depth": Column("depth", "float32", (M, S, S), unit="bbox diagonal", frame="camera z"),
            "mask": Column("mask", "bool", (M, S, S)),
            "normal": Column("normal", "float16", (M, S, S, 3), frame="object"),
            "rgb": Column("rgb", "uint8", (M, S, S, 3), unit="sRGB"),
        }
        return BlockSchema.of(
            Column("object_id", "string"),
            *(images[name] for name in self.settings.outputs),
            Column("K", "float32", (M, 3, 3), unit="px", description="pixel centres at +.5"),
            Column("cam2world", "float32", (M, 4, 4), frame="OpenCV camera to object"),
        )

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        """One item an object."""
        return object_items(inputs, "meshes")

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        """Render one object."""
        from gimbal_nbv.stages.meshes import row_mesh
        from gimbal_vision import rendering

        mesh = row_mesh(open_rows(inputs, "meshes")[item["row"]])
        cameras = protocol_of(self.settings, OracleSettings()).cameras
        size = self.settings.image_size
        renderer = (
            rendering.auto(mesh, size, size, self.settings.device, views=len(cameras))
            if self.settings.renderer == "auto"
            else rendering.get(self.settings.renderer, device=self.settings.device)
        )
        images = renderer.render(mesh, cameras, self.settings.outputs)
        yield {
            "object_id": item["id"],
            **{name: _stored(name, getattr(images, name)) for name in self.settings.outputs},
            "K": cameras.K.astype(np.float32),
            "cam2world": cameras.cam2world.astype(np.float32),
        }


def _stored(name: str, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return image.astype(np.float16) if name == "normal" else image
