"""Items and rows of made streets: no files, the seed decides everything."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.data.stage import Item
from gimbal_multicar.data_settings import DataSettings, SyntheticSettings
from gimbal_multicar.fusing import panorama_camera
from gimbal_multicar.rows import RowSource, panorama_row
from gimbal_vision.panoramas.exposure import panorama_jitter

if TYPE_CHECKING:
    from gimbal_multicar.synthesis.fast import Scenario

SOURCE = RowSource(source="synthetic", depth_source="render", depth_density=1.0)


def made_items(data: DataSettings, seed: int) -> list[Item]:
    """Return one item a car and frame; cars are in the order of their ids as text, as real ones."""
    items: list[Item] = []
    for index in range(data.synthetic.scenarios):
        made = made_scenario(data.synthetic, seed, index)
        agents = sorted(made.agents)[: data.max_cars]
        if made.split not in data.splits or len(agents) < data.min_cars:
            continue
        for frame in made.frames[:: data.frame_stride]:
            items += [
                {
                    "id": f"{made.split}/{made.name}/{agent}/{frame}",
                    "index": index,
                    "agent": agent,
                    "frame": frame,
                }
                for agent in agents
            ]
    return items


def made_row(data: DataSettings, seed: int, item: Item, item_seed: int) -> Mapping[str, Any]:
    """Draw one car at one moment.

    Args:
        data: How.
        seed: Of the streets.
        item: Which of `made_items`.
        item_seed: Of the exposure jitter, where `data` asks for one.
    """
    from gimbal_multicar.synthesis.fast import render_panoramas

    made = made_scenario(data.synthetic, seed, item["index"])
    frame, image = render_panoramas(
        made, item["frame"], item["agent"], panorama_camera(data.panorama), data.reference
    )
    if data.exposure_jitter:
        rng = np.random.default_rng(item_seed)
        rgb = panorama_jitter(image.rgb, image.camera_index, rng, data.exposure_jitter)
        image = replace(image, rgb=rgb)
    return panorama_row(frame, image, SOURCE)


@functools.lru_cache(maxsize=64)
def made_scenario(settings: SyntheticSettings, seed: int, index: int) -> Scenario:
    """Return a made street, drawn once in each worker process.

    Args:
        settings: How many of what.
        seed: Of the streets.
        index: Which street.
    """
    from gimbal_multicar.synthesis.fast import scenario

    return scenario(settings, seed, index)
