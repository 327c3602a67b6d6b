"""The same items always make the same shards; impossible items are refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from data_toys import ToySettings, ToyStage

from gimbal.data.shards import plan_shards
from gimbal.errors import ConfigError, StageFailed


@dataclass(frozen=True, kw_only=True)
class GivenItems(ToyStage):
    given: tuple = ()

    def items(self, inputs):
        return self.given


def test_items_are_split_in_order():
    shards = plan_shards(ToyStage(items_per_block=4), {})
    assert [[item["number"] for item in shard.items] for shard in shards] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert shards == plan_shards(ToyStage(items_per_block=4), {})


def test_only_the_shard_of_a_changed_item_gets_another_digest():
    items = [{"id": str(i), "sha": 0} for i in range(6)]
    before = plan_shards(GivenItems(given=tuple(items), items_per_block=2), {})
    items[3] = {"id": "3", "sha": 1}
    after = plan_shards(GivenItems(given=tuple(items), items_per_block=2), {})
    assert [a.digest == b.digest for a, b in zip(before, after, strict=True)] == [True, False, True]


@pytest.mark.parametrize(
    "given",
    [
        (),
        ({"number": 1},),
        ({"id": 7},),
        ({"id": "a"}, {"id": "a"}),
        ({"id": "a", "path": object()},),
        ({"id": "a", "value": float("nan")},),
    ],
)
def test_impossible_items_stop_the_stage_with_a_remedy(given):
    with pytest.raises(StageFailed) as caught:
        plan_shards(GivenItems(given=given), {})
    assert "toy" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("wrong", [{"items_per_block": 0}, {"max_bad_share": 1.5}])
def test_impossible_stage_fields_are_refused(wrong):
    with pytest.raises(ConfigError, match="toy"):
        ToyStage(**wrong)


def test_an_items_seed_depends_on_stage_seed_and_id_only():
    item = {"id": "a", "more": 1}
    seeds = {ToyStage(seed=s).item_seed({"id": i}) for s in (0, 1) for i in ("a", "b")}
    assert len(seeds) == 4
    assert ToyStage().item_seed(item) == ToyStage(settings=ToySettings(items=3)).item_seed(item)
