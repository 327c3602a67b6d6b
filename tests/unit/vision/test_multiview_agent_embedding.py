"""The agent embedding: nothing at the start, then the same for all views of one car (M089)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from multiview_support import MINI, apart, pick, some_views, use_of

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.agent_embedding import AgentEmbedding
from gimbal_vision.multiview.model import MultiViewModel


def model(agents: int) -> MultiViewModel:
    torch.manual_seed(0)
    return MultiViewModel(MINI, agents=agents).double().eval()


def taught(agents: int) -> MultiViewModel:
    net = model(agents)
    assert net.agents is not None
    with torch.no_grad():
        net.agents.table.normal_()
    return net


def test_off_it_is_no_part_of_the_model_and_on_it_changes_nothing_at_first() -> None:
    """Same draw, same names, and answers that differ by exactly 0, with and without geometry."""
    plain, able = model(0), model(4)
    without, state = plain.state_dict(), able.state_dict()
    assert set(state) - set(without) == {"agents.table"} and not state["agents.table"].any()
    assert all(torch.equal(state[name], value) for name, value in without.items())
    for count in (1, 3):
        views = some_views(count=count)
        for use in (None, use_of(views)):
            assert apart(plain(views, use), able(views, use)) == 0.0
        told = replace(views, agent=torch.arange(count).flip(0).expand(2, -1))
        assert apart(plain(told), plain(views)) == 0.0, "a model without reads nothing of it"


def test_it_learns_one_vector_for_each_car_that_is_there() -> None:
    net, views = model(4), some_views()
    said = net(views)
    (said.cam_trans.square().sum() + said.conf.log().sum()).backward()
    assert net.agents is not None and net.agents.table.grad is not None
    assert (net.agents.table.grad.abs().amax(dim=1) > 0).tolist() == [True] * 3 + [False]


def test_views_of_one_car_get_the_same_vector() -> None:
    embedding = AgentEmbedding(3, 2)
    with torch.no_grad():
        embedding.table.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))
    agent = torch.tensor([[0, 0, 2], [0, 1, 1]])
    found = embedding(torch.zeros(2, 3, 5, 2), agent)
    assert torch.equal(found, embedding.table[agent][:, :, None].expand(2, 3, 5, 2))
    by_place = embedding(torch.zeros(2, 3, 5, 2))
    assert torch.equal(by_place[1, :, 4], embedding.table)


def test_a_car_is_known_by_its_place_wherever_its_views_stand() -> None:
    """Partners in another order, places told, are the same sample; places by order are not."""
    net, views, order = taught(3), some_views(), [0, 2, 1]
    told = replace(views, agent=torch.tensor([[0, 1, 2]]).expand(2, -1))
    moved = pick(told, slice(None), order)
    assert apart(net(told), net(moved), order=order) < 1e-9
    assert apart(net(told), net(views)) == 0.0
    untold = replace(moved, agent=None)
    assert apart(net(told), net(untold), order=order) > 1e-4


@pytest.mark.parametrize("agent", [None, torch.tensor([[0, 1, 2], [0, 1, 1]])])
def test_more_cars_than_it_knows_are_refused(agent: torch.Tensor | None) -> None:
    with pytest.raises(MultiViewError, match="a sample has 3 cars") as caught:
        taught(2)(replace(some_views(), agent=agent))
    assert "samples.max_cars" in caught.value.remedy
