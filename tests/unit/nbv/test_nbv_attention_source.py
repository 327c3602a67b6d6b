"""The source's layout: sizes, names, and the faults it is kept for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from gimbal_nbv.attention.heads import HEAD_NUMBERS
from gimbal_nbv.attention.inputs import PolicyInputs
from gimbal_nbv.attention.shape import HeadName
from gimbal_nbv.attention.source import SourceOptions, SourcePolicy
from gimbal_nbv.errors import PolicyError

SMALL = SourceOptions(candidates=7, hidden_dim=16, num_heads=2, num_layers=1, dropout=0)


def inputs(dim: int = 6) -> PolicyInputs:
    made = torch.Generator().manual_seed(0)
    return PolicyInputs(
        tokens=torch.randn(2, 3, 4, dim, generator=made),
        present=torch.tensor([[True, True, True], [True, False, False]]),
        view_directions=functional.normalize(torch.randn(2, 3, 3, generator=made), dim=-1),
        candidates=functional.normalize(torch.randn(2, 7, 3, generator=made), dim=-1),
        used=torch.zeros(2, 7, dtype=torch.bool),
    )


def policy(dim: int = 6, head: HeadName = "cartesian") -> SourcePolicy:
    torch.manual_seed(0)
    return SourcePolicy(dim, head, SMALL).eval()


def test_it_has_as_many_parameters_as_the_source() -> None:
    with torch.device("meta"):
        net = SourcePolicy()
    encoder = 4 * (4 * (512 * 512 + 512) + 2 * 512 * 2048 + 2048 + 512 + 4 * 512)
    pooling = 4 * (512 * 512 + 512)
    head = 2 * 512 + 512 * 256 + 256 + 256 * 3 + 3
    rest = 768 * 512 + 512 + 100 * 512 + 512
    assert sum(p.numel() for p in net.transformer.parameters()) == encoder
    assert sum(p.numel() for p in net.parameters()) == encoder + pooling + head + rest
    assert round(encoder / 1e6, 1) == 12.6
    assert round((encoder + pooling + head + rest) / 1e6, 1) == 14.2


def test_its_state_dict_is_laid_out_like_the_source() -> None:
    with torch.device("meta"):
        state = SourcePolicy().state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    expected = {
        "global_token": (1, 1, 512),
        "pos_embedding": (1, 100, 512),
        "input_proj.weight": (512, 768),
        "transformer.layers.3.self_attn.in_proj_weight": (1536, 512),
        "transformer.layers.3.linear1.weight": (2048, 512),
        "transformer.layers.3.norm2.bias": (512,),
        "global_attention.in_proj_weight": (1536, 512),
        "global_attention.out_proj.weight": (512, 512),
        "output_head.0.weight": (512,),
        "output_head.1.weight": (256, 512),
        "output_head.4.weight": (3, 256),
    }
    assert {name: shapes[name] for name in expected} == expected
    assert not any(name.startswith("transformer.norm") for name in shapes), "no final norm"
    assert len(shapes) == 3 + 1 + 4 * 12 + 4 + 6


def test_positions_are_drawn_as_wide_as_the_source_unless_told() -> None:
    assert policy().pos_embedding.std().item() == pytest.approx(1, abs=0.07)
    narrow = SourcePolicy(options=replace(SMALL, position_std=0.02))
    assert narrow.pos_embedding.std().item() == pytest.approx(0.02, abs=0.002)


def test_averaged_tokens_are_accepted() -> None:
    net, state = policy(), inputs()
    averaged = replace(state, tokens=state.tokens.mean(2))
    torch.testing.assert_close(net(averaged).raw, net(state).raw)


def test_where_in_the_picture_a_patch_was_is_lost() -> None:
    net, state = policy(), inputs()
    shuffled = replace(state, tokens=state.tokens[:, :, [2, 0, 3, 1]])
    torch.testing.assert_close(net(shuffled).raw, net(state).raw)


def test_the_order_of_views_matters() -> None:
    net, state = policy(), inputs()
    swapped = replace(state, tokens=state.tokens[:, [0, 2, 1]])
    assert (net(swapped).raw - net(state).raw)[0].abs().max() > 1e-3


def test_absent_views_say_nothing() -> None:
    net, state = policy(), inputs()
    garbage = torch.where(state.present[..., None, None], state.tokens, 5.0)
    torch.testing.assert_close(net(replace(state, tokens=garbage)).raw, net(state).raw)


@pytest.mark.parametrize("head", HEAD_NUMBERS)
def test_every_head_answers_with_a_direction(head: HeadName) -> None:
    output = policy(head=head)(inputs())
    assert output.raw.shape == (2, HEAD_NUMBERS[head])
    assert output.direction is not None
    torch.testing.assert_close(output.direction.norm(dim=1), torch.ones(2))
    cosine = (inputs().candidates @ output.direction[..., None])[..., 0]
    torch.testing.assert_close(output.scores, cosine)


def test_fixed_candidates_have_one_logit_each() -> None:
    net = policy(head="discrete")
    assert net(inputs()).scores.shape == (2, 7)
    fewer = replace(inputs(), candidates=inputs().candidates[:, :5], used=inputs().used[:, :5])
    with pytest.raises(PolicyError, match="7 fixed candidates and was given 5"):
        net(fewer)


def test_tokens_of_another_size_are_refused() -> None:
    with pytest.raises(PolicyError, match="reads tokens of 6 numbers, got 8"):
        policy(6)(inputs(8))
