"""Volume rendering of a shape and what is behind it (nero.md 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import parametrize

from gimbal_nero.fields.model import ShapeModel
from gimbal_nero.fields.sdf import Distances
from gimbal_nero.fields.shading import Samples, Shaded
from gimbal_nero.volume.alpha import annealed_slope, ray_weights, section_alpha
from gimbal_nero.volume.colour import to_srgb
from gimbal_nero.volume.guided import guided_sections
from gimbal_nero.volume.model import Jitter, Moment, Rays, Rendered
from gimbal_nero.volume.sampling import inner_distances, outer_distances, points_at


@dataclass(frozen=True, kw_only=True)
class _Sections:
    """The pieces of R rays: middles, lengths, points [R, S, 3] and whether in the sphere."""

    middles: Tensor
    lengths: Tensor
    points: Tensor
    inside: Tensor


def render_rays(
    model: ShapeModel, rays: Rays, jitter: Jitter | None = None, moment: Moment | None = None
) -> Rendered:
    """Render rays.

    Args:
        model: The networks.
        rays: R rays.
        jitter: Random places; None: the middle of every bin.
        moment: What depends on the step; None: the end of training.
    """
    moment = moment or Moment()
    model.prepare(moment.step, moment.detail)
    with torch.no_grad(), parametrize.cached():
        whole = model.cache is None
        sections = _sections(model, rays, jitter) if whole else _guided(model, rays, jitter)
    with parametrize.cached():
        inv_s = model.sharpness()
        inv_s = inv_s if moment.variance_trains else inv_s.detach()
        return _composite(model, rays, sections, inv_s, moment)


def _sections(model: ShapeModel, rays: Rays, jitter: Jitter | None) -> _Sections:
    """Return where rays are asked; weights cached here have no gradient, so they are not kept."""
    settings = model.settings.sampling
    along = inner_distances(model.distance.sdf, rays, model.sharpness(), jitter, settings)
    if settings.background:
        along = torch.cat([along, outer_distances(rays, jitter, settings)], dim=-1)
        along = along.sort(dim=-1).values
    lengths = along[:, 1:] - along[:, :-1]
    lengths = torch.cat([lengths, lengths[:, -1:]], dim=-1)
    middles = along + 0.5 * lengths
    points = points_at(rays, middles)
    inside = torch.linalg.vector_norm(points, dim=-1) <= 1.0
    return _Sections(middles=middles, lengths=lengths, points=points, inside=inside)


def _guided(model: ShapeModel, rays: Rays, jitter: Jitter | None) -> _Sections:
    """Return where rays are asked by what is cached, in the sphere and behind it."""
    settings = model.settings.sampling
    assert model.cache is not None
    inner = guided_sections(
        model.cache, model.distance.sdf, rays, model.sharpness(), jitter, settings
    )
    along, lengths, inside = inner.along, inner.lengths, inner.near_surface
    if settings.background:
        outer = outer_distances(rays, jitter, settings)
        ends = torch.cat([inner.far[:, None], outer], dim=-1)
        along = torch.cat([along, ends[:, :-1]], dim=-1)
        lengths = torch.cat([lengths, ends.diff(dim=-1)], dim=-1)
        inside = torch.cat([inside, torch.zeros_like(outer, dtype=torch.bool)], dim=-1)
    middles = along + 0.5 * lengths
    return _Sections(
        middles=middles, lengths=lengths, points=points_at(rays, middles), inside=inside
    )


def _composite(
    model: ShapeModel, rays: Rays, sections: _Sections, inv_s: Tensor, moment: Moment
) -> Rendered:
    inside = sections.inside
    ray = inside.nonzero(as_tuple=True)[0]
    points = sections.points[inside]
    found = model.distance(points)
    outer = _background(model, rays, sections)
    alpha = _scattered(_inner_alpha(model, rays, sections, found, (inv_s, moment.anneal)), inside)
    weights = ray_weights(alpha if outer is None else alpha + outer[..., 0])
    inner = weights * inside
    normals = functional.normalize(found.gradients, dim=-1)
    chosen = weights.detach()[inside] >= model.settings.sampling.skip_weight_below
    shaded = _shade(model, rays, (points, normals, found.hidden, ray), chosen)
    place = _scattered(chosen, inside)
    inner_colour = _summed(weights, _encode(model, shaded.colour, clamp=True), place)
    plain = (
        None
        if shaded.plain is None
        else _summed(weights, _encode(model, shaded.plain, clamp=True), place)
    )
    outer_colour = (
        torch.zeros_like(inner_colour)
        if outer is None
        else (weights[..., None] * outer[..., 1:]).sum(1)
    )
    said = shaded.occlusion_raw
    return Rendered(
        colour=inner_colour + outer_colour,
        inner_colour=inner_colour,
        outer_colour=outer_colour,
        plain_colour=None if plain is None else plain + outer_colour,
        opacity=inner.sum(-1),
        depth_along_ray=(inner * sections.middles).sum(-1),
        normal=_summed(weights, normals, inside),
        distances=sections.middles,
        weights=weights,
        inside=inside,
        sdf=_scattered(found.sdf, inside),
        gradients=found.gradients,
        inner_points=points,
        material=_material(shaded, weights.detach(), place),
        shaded=chosen,
        occlusion_raw=None if said is None else _scattered(said, chosen),
    )


def _inner_alpha(
    model: ShapeModel,
    rays: Rays,
    sections: _Sections,
    found: Distances,
    state: tuple[Tensor, float],
) -> Tensor:
    """Return the opacity [N] of the sections in the sphere; `state` is inv_s and anneal."""
    inv_s, anneal = state
    ray = sections.inside.nonzero(as_tuple=True)[0]
    slope = annealed_slope((rays.directions[ray] * found.gradients).sum(-1), anneal)
    lengths = sections.lengths[sections.inside]
    return section_alpha(found.sdf, slope, lengths, inv_s, model.settings.density)


def _shade(
    model: ShapeModel, rays: Rays, found: tuple[Tensor, Tensor, Tensor, Tensor], chosen: Tensor
) -> Shaded:
    """Return the colours of the chosen inner samples."""
    points, normals, hidden, ray = (
        found if bool(chosen.all()) else tuple(part[chosen] for part in found)
    )
    frames = rays.photographer
    samples = Samples(
        points=points,
        normals=normals,
        towards=-rays.directions[ray],
        features=model.distance.features(hidden),
        frames=None if frames is None else frames[ray],
    )
    shaded: Shaded = model.shader(samples)
    return shaded


def _background(model: ShapeModel, rays: Rays, sections: _Sections) -> Tensor | None:
    """Return opacity and composited colour [R, S, 4] of samples beyond the sphere."""
    if model.background is None:
        return None
    outside = ~sections.inside
    if model.settings.sampling.behind_sphere_only:
        count = model.settings.sampling.background
        outside[:, :-count] = False
    ray = outside.nonzero(as_tuple=True)[0]
    density, colour = model.background(sections.points[outside], rays.directions[ray])
    alpha = 1.0 - torch.exp(-density * sections.lengths[outside])
    said = torch.cat([alpha[:, None], _encode(model, colour, clamp=False)], dim=-1)
    return _scattered(said, outside)


def _encode(model: ShapeModel, linear: Tensor, *, clamp: bool) -> Tensor:
    """Return colours in the space in which they are added up."""
    if model.settings.compositing == "linear":
        return linear
    encoded = to_srgb(linear)
    return encoded.clamp(0.0, 1.0) if clamp else encoded


def _material(shaded: Shaded, weights: Tensor, place: Tensor) -> dict[str, Tensor]:
    """Return composited material, to be looked at only."""
    names = list(shaded.material)
    if not names:
        return {}
    sizes = [shaded.material[name].shape[-1] for name in names]
    values = torch.cat([shaded.material[name].detach() for name in names], dim=-1)
    return dict(
        zip(names, torch.split(_summed(weights, values, place), sizes, dim=-1), strict=True)
    )


def _scattered(values: Tensor, place: Tensor) -> Tensor:
    """Put N values at the N true places, 0 elsewhere."""
    full = values.new_zeros((*place.shape, *values.shape[1:]))
    return full.index_put((place,), values)


def _summed(weights: Tensor, values: Tensor, place: Tensor) -> Tensor:
    """Return weighted sums [R, C] of values [N, C] at the N true places of [R, S]."""
    return (weights[..., None] * _scattered(values, place)).sum(1)
