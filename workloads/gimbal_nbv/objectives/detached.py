"""The source's route: a Chamfer loss whose only gradient is that of the new view's declared pose.

The view is rendered where the policy wants it and then detached, so nothing tells the policy how
the picture would change: the loss says how the reconstruction would move if the same pixels were
labelled with another pose. That is biased (see docs/nbv.md, "The open problem"); `diagnostics.
gradient_agreement` measures by how much for a given reconstruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.objectives.look_at import Roll, look_at_pose
from gimbal_nbv.reconstruction.base import Reconstruction, SurfacePoints
from gimbal_vision.nearest import match

Normalise = Literal["none", "before", "range"]


@dataclass(frozen=True, kw_only=True)
class DetachedSettings:
    """What the loss is.

    Attributes:
        radius: Distance of the cameras from the origin, in diagonals.
        squared: Squared distances, as the source has it.
        sums: Sum over points, as the source has it, in place of means; it then grows with the
            number of points and of views.
        normalise: `none`; `before`: divided by the distance before the new view, 1 - RRI;
            `range`: (distance - best) / (worst - best) over the candidates, the regret.
        roll: See `look_at_pose`.
    """

    radius: float = 1.5
    squared: bool = True
    sums: bool = False
    normalise: Normalise = "before"
    roll: Roll = "transported"

    def __post_init__(self) -> None:
        if self.sums and self.normalise == "range":
            raise PolicyError(
                "the range over the candidates is known for means, not for sums over points",
                "use sums: false, or normalise: before",
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class DetachedStates:
    """B states: what was seen so far and what is really there.

    Attributes:
        objects: Numbers [B] the renderer knows the objects by.
        depths: z-depth [B,N,H,W] in diagonals, 0 where nothing was hit.
        poses: cam2world [B,N,4,4].
        intrinsics: [B,N,3,3] in pixels, pixel centres at +.5.
        present: bool [B,N], which views are real.
        frames: Rotations [B,3,3] from the policy's frame (the first view's) to the world.
        truth: Surface samples of each object [P,3], world.
        spread: Least and greatest loss over the candidates [B,2] in the measure of the settings;
            only `normalise: range` reads it.
        before: The loss before the new view [B]; measured anew at every step where None. Only
            `normalise: before` reads it.
    """

    objects: Sequence[int]
    depths: Tensor
    poses: Tensor
    intrinsics: Tensor
    present: Tensor
    frames: Tensor
    truth: Sequence[Tensor]
    spread: Tensor | None = None
    before: Tensor | None = None

    def __len__(self) -> int:
        return len(self.objects)

    def to(self, like: Tensor) -> DetachedStates:
        """Return the states on a tensor's device and in its float type; `truth` stays put."""
        return replace(
            self,
            depths=self.depths.to(like),
            poses=self.poses.to(like),
            intrinsics=self.intrinsics.to(like),
            present=self.present.to(like.device),
            frames=self.frames.to(like),
            spread=None if self.spread is None else self.spread.to(like),
            before=None if self.before is None else self.before.to(like),
        )

    def rows(self, index: Sequence[int]) -> DetachedStates:
        """Return some of the states, in the order given; a state may come twice."""
        chosen = list(index)
        return DetachedStates(
            objects=[self.objects[row] for row in chosen],
            depths=self.depths[chosen],
            poses=self.poses[chosen],
            intrinsics=self.intrinsics[chosen],
            present=self.present[chosen],
            frames=self.frames[chosen],
            truth=[self.truth[row] for row in chosen],
            spread=None if self.spread is None else self.spread[chosen],
            before=None if self.before is None else self.before[chosen],
        )


class DepthRenderer(Protocol):
    """Renders objects by number; the training task brings it with its meshes."""

    def render(self, objects: Sequence[int], poses: Tensor) -> tuple[Tensor, Tensor]:
        """Return z-depth [B,H,W], 0 where nothing was hit, and intrinsics [B,3,3].

        Args:
            objects: One number per view.
            poses: cam2world [B,4,4]; no gradient flows back.
        """
        ...


@dataclass(frozen=True, eq=False)
class DetachedStep:
    """One evaluation.

    Attributes:
        loss: [B], with gradients to the directions.
        chamfer: Distance after the new view [B], before normalisation, without gradients.
        pose: The new view's cam2world [B,4,4]: the only way the gradient takes.
    """

    loss: Tensor
    chamfer: Tensor
    pose: Tensor

    def terms(self) -> dict[str, tuple[Tensor, int]]:
        """Return the loss as training takes it: a sum and a count."""
        return {"detached_cd": (self.loss.sum(), len(self.loss))}


def detached_step(
    direction: Tensor,
    states: DetachedStates,
    renderer: DepthRenderer,
    reconstruction: Reconstruction,
    settings: DetachedSettings,
) -> DetachedStep:
    """Take the proposed views and measure how well all views together describe the objects.

    Everything is measured on the direction's device and in its float type.

    Args:
        direction: Directions [B,3] to the new cameras in the policy's frame.
        states: The states.
        renderer: Gives the new pictures, without gradient.
        reconstruction: Turns pictures and declared poses into points.
        settings: The loss.
    """
    states = states.to(direction)
    world = (states.frames @ direction[..., None])[..., 0]
    pose = look_at_pose(world, settings.radius, settings.roll)
    depth, intrinsics = renderer.render(states.objects, pose.detach())
    new = NewViews(depth=depth.detach(), poses=pose, intrinsics=intrinsics)
    after = chamfer_with(states, new, reconstruction, settings)
    return DetachedStep(
        loss=_normalised(after, states, reconstruction, settings),
        chamfer=after.detach(),
        pose=pose,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class NewViews:
    """One more view of each state: `depth` [B,H,W], declared `poses` [B,4,4], `intrinsics`."""

    depth: Tensor
    poses: Tensor
    intrinsics: Tensor

    def row(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return one state's picture, pose and intrinsics with a leading 1, all like its pose."""
        pose = self.poses[index : index + 1]
        return (
            self.depth[index : index + 1].to(pose),
            pose,
            self.intrinsics[index : index + 1].to(pose),
        )


def chamfer_with(
    states: DetachedStates,
    new: NewViews | None,
    reconstruction: Reconstruction,
    settings: DetachedSettings,
) -> Tensor:
    """Return the Chamfer distance [B] of each state, with or without one more view.

    Poses of earlier views are constants whatever they were made of. Everything is brought to the
    device and float type of the new poses.

    Raises:
        PolicyError: The new pictures are of another size than the earlier ones.
    """
    if new is not None and new.depth.shape[1:] != states.depths.shape[2:]:
        raise PolicyError(
            f"the new view has {tuple(new.depth.shape[1:])} pixels and the earlier ones "
            f"{tuple(states.depths.shape[2:])}",
            "render it at the size of the others, or thin those out by `stride`",
        )
    states = states if new is None else states.to(new.poses)
    results = []
    for row in range(len(states)):
        there = states.present[row]
        depths, poses, intrinsics = (
            part[row][there].detach() for part in (states.depths, states.poses, states.intrinsics)
        )
        if new is not None:
            seen = zip((depths, poses, intrinsics), new.row(row), strict=True)
            depths, poses, intrinsics = (torch.cat(pair) for pair in seen)
        surface = reconstruction.reconstruct(depths, poses, intrinsics)
        results.append(chamfer_to(surface, states.truth[row], settings))
    return torch.stack(results)


def chamfer_to(surface: SurfacePoints, truth: Tensor, settings: DetachedSettings) -> Tensor:
    """Return the Chamfer distance of a surface to samples, a scalar differentiable in its points.

    Who is whose nearest neighbour is held fixed. A surface without points is as far from the truth
    as the object is large.

    Args:
        surface: Points and their weights.
        truth: [P,3], constant.
        settings: Squared or not, sums or means.
    """
    points, truth = surface.points, truth.to(surface.points)
    if not len(points):
        ones = torch.ones(len(truth)).to(truth)
        return ones.sum() if settings.sums else ones.mean()
    found = match(points.detach().cpu().numpy(), truth.cpu().numpy())
    ours, theirs = (
        torch.from_numpy(order).to(points.device)
        for order in (found.first_order, found.second_order)
    )
    to_truth = points[ours] - truth[theirs[torch.from_numpy(found.nearest_second)]]
    to_points = truth[theirs] - points[ours[torch.from_numpy(found.nearest_first)]]
    accuracy, completeness = (_lengths(d, settings.squared) for d in (to_truth, to_points))
    weights = None if surface.weights is None else surface.weights[ours]
    return _total(accuracy, weights, settings.sums) + _total(completeness, None, settings.sums)


def _lengths(offsets: Tensor, squared: bool) -> Tensor:
    squares = offsets.square().sum(-1)
    # The slope of a distance is unbounded at 0; points that lie on their neighbours get none.
    return squares if squared else torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)


def _total(values: Tensor, weights: Tensor | None, sums: bool) -> Tensor:
    if weights is None:
        return values.sum() if sums else values.mean()
    total = (values * weights).sum()
    return total if sums else total / weights.sum().clamp_min(1e-12)


def _normalised(
    after: Tensor,
    states: DetachedStates,
    reconstruction: Reconstruction,
    settings: DetachedSettings,
) -> Tensor:
    if settings.normalise == "none":
        return after
    if settings.normalise == "before":
        before = states.before
        if before is None:
            with torch.no_grad():
                before = chamfer_with(states, None, reconstruction, settings)
        return after / before.to(after).clamp_min(1e-12)
    if states.spread is None:
        raise PolicyError(
            "normalise: range needs the spread of the loss over each state's candidates",
            "fill DetachedStates.spread, or use normalise: before",
        )
    least, greatest = states.spread.to(after).unbind(-1)
    return (after - least) / (greatest - least).clamp_min(1e-12)
