"""What must not change an attention policy's answer, and what must."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from gimbal_nbv.attention.inputs import PolicyInputs, PolicyOutput
from gimbal_nbv.attention.policy import AttentionNBVPolicy, Moments
from gimbal_nbv.attention.shape import AttentionShape
from gimbal_nbv.errors import PolicyError

ABSENT = float("-inf")


def shape(**changes) -> AttentionShape:
    base = AttentionShape(
        token_dim=11, tokens_per_view=16, width=16, heads=2, layers=1, pooled_side=2,
        has_points=True, relative=True, vectors=(8,),
    )  # fmt: skip
    return replace(base, **changes)


def inputs(*, batch=3, views=4, present=3, candidates=9, features=0, seed=0) -> PolicyInputs:
    made = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*size, generator=made, dtype=torch.float64)

    there = (torch.arange(views) < present).expand(batch, views).clone()
    tokens = normal(batch, views, 16, 11) * there[..., None, None]
    tokens[:, :, ::5, 3:6] = 0
    used = torch.zeros(batch, candidates, dtype=torch.bool)
    used[:, 2] = True
    return PolicyInputs(
        tokens=tokens,
        present=there,
        view_directions=functional.normalize(normal(batch, views, 3), dim=-1),
        candidates=functional.normalize(normal(batch, candidates, 3), dim=-1),
        used=used,
        features=normal(batch, candidates, features) if features else None,
    )


def policy(made: AttentionShape, seed=0) -> AttentionNBVPolicy:
    torch.manual_seed(seed)
    net = AttentionNBVPolicy(made).double()
    return net.eval()


def permuted_views(state: PolicyInputs, order: list[int]) -> PolicyInputs:
    return replace(
        state,
        tokens=state.tokens[:, order],
        present=state.present[:, order],
        view_directions=state.view_directions[:, order],
    )


def permuted_candidates(state: PolicyInputs, order: torch.Tensor) -> PolicyInputs:
    return replace(
        state,
        candidates=state.candidates[:, order],
        used=state.used[:, order],
        features=None if state.features is None else state.features[:, order],
    )


def rotated(state: PolicyInputs, rotation: torch.Tensor) -> PolicyInputs:
    tokens = state.tokens.clone()
    for start in (0, 3, 8):
        tokens[..., start : start + 3] = tokens[..., start : start + 3] @ rotation.T
    return replace(
        state,
        tokens=tokens,
        view_directions=state.view_directions @ rotation.T,
        candidates=state.candidates @ rotation.T,
    )


def some_rotation() -> torch.Tensor:
    q, _ = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    )
    return q * torch.sign(torch.linalg.det(q))


def close(a: PolicyOutput, b: PolicyOutput) -> None:
    torch.testing.assert_close(a.scores, b.scores, atol=1e-8, rtol=0)
    if a.direction is not None:
        torch.testing.assert_close(a.direction, b.direction, atol=1e-8, rtol=0)


SHAPES = {
    "grid": shape(),
    "none": shape(pooling="none"),
    "hits": shape(pooling="hits", hits=13),
    "attn": shape(pooling="attn"),
    "mean": shape(pooling="mean"),
    "no_frame": shape(coordinates=False),
    "plain": shape(has_points=False, relative=False),
    "unit_vector": shape(head="unit_vector"),
    "refined": shape(refinement=True),
}


@pytest.mark.parametrize("made", SHAPES.values(), ids=SHAPES)
def test_views_are_a_set_after_the_first(made: AttentionShape) -> None:
    net, state = policy(made), inputs()
    close(net(permuted_views(state, [0, 2, 1, 3])), net(state))


@pytest.mark.parametrize("made", SHAPES.values(), ids=SHAPES)
def test_padding_says_nothing(made: AttentionShape) -> None:
    net, state = policy(made), inputs()
    garbage = torch.where(state.present[..., None, None], state.tokens, 7.0)
    close(net(replace(state, tokens=garbage)), net(state))
    close(net(permuted_views(state, [0, 1, 2])), net(state))
    close(net(permuted_views(state, [0, 3, 2, 1])), net(state))


def test_the_first_view_is_not_like_the_others() -> None:
    net, state = policy(shape()), inputs()
    other = net(permuted_views(state, [1, 0, 2, 3]))
    assert (other.scores - net(state).scores)[:, 0].abs().min() > 1e-6


@pytest.mark.parametrize("name", ["grid", "plain", "no_frame"])
def test_permuting_candidates_permutes_scores(name: str) -> None:
    net, state = policy(replace(SHAPES[name], features=5)), inputs(features=5)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    moved = net(permuted_candidates(state, order))
    torch.testing.assert_close(moved.scores, net(state).scores[:, order], atol=1e-9, rtol=0)


def test_a_candidates_score_does_not_depend_on_how_many_there_are() -> None:
    net, state = policy(shape()), inputs()
    few = net(permuted_candidates(state, torch.tensor([4, 0, 2])))
    torch.testing.assert_close(few.scores, net(state).scores[:, [4, 0, 2]], atol=1e-9, rtol=0)
    assert (few.scores[:, 2] == ABSENT).all()


def test_patches_that_hit_nothing_are_left_out() -> None:
    net, state = policy(shape(pooling="hits", hits=12)), inputs()
    empty = (state.tokens[..., 3:6] == 0).all(-1, keepdim=True)
    assert empty.sum(2).min() == 4
    other = torch.where(empty, torch.full_like(state.tokens, 9.0), state.tokens)
    other[..., 3:6] = state.tokens[..., 3:6]
    close(net(replace(state, tokens=other)), net(state))


def test_without_coordinates_turning_everything_changes_nothing() -> None:
    net, state = policy(shape(coordinates=False)), inputs()
    close(net(rotated(state, some_rotation())), net(state))


def test_with_coordinates_the_frame_matters() -> None:
    net, state = policy(shape()), inputs()
    change = net(rotated(state, some_rotation())).scores - net(state).scores
    assert change[:, 0].abs().min() > 1e-6


def test_relative_geometry_alone_tells_where_the_surface_is() -> None:
    net, state = policy(shape(coordinates=False)), inputs()
    turned = rotated(state, some_rotation())
    surface_only = replace(state, tokens=turned.tokens)
    assert (net(surface_only).scores - net(state).scores)[:, 0].abs().min() > 1e-6


def test_features_are_standardised_by_the_moments() -> None:
    state = inputs(features=4)
    mean, std = torch.arange(4.0), torch.tensor([0.5, 1.0, 2.0, 4.0])
    moments = Moments(tokens=(torch.zeros(11), torch.ones(11)), features=(mean, std))
    torch.manual_seed(0)
    net = AttentionNBVPolicy(shape(features=4), moments).double()
    plain = AttentionNBVPolicy(shape(features=4)).double()
    plain.load_state_dict(
        {k: v for k, v in net.state_dict().items() if "candidates.standardise" not in k},
        strict=False,
    )
    stretched = replace(state, features=state.features * std + mean)
    torch.testing.assert_close(net(stretched).scores, plain(state).scores, atol=1e-8, rtol=0)


def test_the_state_dict_holds_the_moments() -> None:
    moments = Moments(tokens=(torch.full((11,), 2.0), torch.full((11,), 3.0)))
    net = AttentionNBVPolicy(shape(), moments)
    again = AttentionNBVPolicy(shape())
    again.load_state_dict(net.state_dict())
    assert (again.encoder.standardise.mean == 2).all()
    assert (again.encoder.standardise.std == 3).all()


def test_a_refined_direction_stays_nearest_to_the_best_candidate() -> None:
    net, state = policy(shape(refinement=True)), inputs(batch=20)
    for layer in net.candidates.read:
        if hasattr(layer, "weight"):
            layer.weight.data *= 30
    output = net(state)
    best = output.scores.argmax(1)
    nearest = (state.candidates @ output.direction[..., None])[..., 0].argmax(1)
    assert (nearest == best).all()
    torch.testing.assert_close(output.direction.norm(dim=1), torch.ones(20).double())
    moved = (state.candidates[torch.arange(20), best] * output.direction).sum(1)
    assert moved.min() < 0.999


@pytest.mark.parametrize("head", ["discrete", "unit_vector"])
def test_auxiliary_guesses_are_shares(head: str) -> None:
    output = policy(shape(head=head, auxiliary=True))(inputs())
    assert output.coverage.shape == (3,)
    assert ((output.coverage > 0) & (output.coverage < 1)).all()
    assert (output.unknown_share is None) == (head != "discrete")


@pytest.mark.parametrize("made", SHAPES.values(), ids=SHAPES)
def test_every_parameter_gets_a_finite_gradient(made: AttentionShape) -> None:
    net = policy(made)
    output = net(inputs())
    loss = output.scores[~inputs().used].square().sum()
    if made.refinement:
        loss = loss + (output.direction * torch.arange(3.0)).sum()
    loss.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert sum(float(p.grad.abs().sum() > 0) for p in net.parameters()) > 0.9 * len(
        list(net.parameters())
    )


def test_tokens_of_another_extractor_are_refused() -> None:
    net, state = policy(shape()), inputs()
    with pytest.raises(PolicyError, match="16 tokens of 11 numbers a view and got 16 of 12"):
        net(replace(state, tokens=torch.zeros(3, 4, 16, 12).double()))
    with pytest.raises(PolicyError, match="reads 5 numbers per candidate and got 0"):
        policy(shape(features=5))(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 17}, "width 17 is not divisible by 2 heads"),
        ({"tokens_per_view": 15}, "15 tokens per view are no square grid"),
        ({"has_points": False}, "relative geometry needs tokens with points"),
        ({"relative": False, "coordinates": False}, "sees no directions"),
        ({"head": "spherical", "coordinates": False}, "without a frame"),
        ({"head": "spherical", "features": 2}, "looks at no candidates"),
        ({"pooling": "hits", "has_points": False, "relative": False}, "which patches hit"),
        ({"head": "polar"}, "no head 'polar'"),
        ({"vectors": (9,)}, "a vector at 9 ends beyond a token of 11 numbers"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        shape(**changes)
