"""What the networks are and how rays through them are sampled; defaults are the published ones.

`size` is a preset: a key that is not given takes the preset's value, so `size: tiny` alone is a
network that two processor cores can train.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings

Count = Annotated[int, Field(ge=1, le=4096)]
Frequencies = Annotated[int, Field(ge=0, le=16)]


class SdfSettings(Settings):
    """The signed distance network."""

    layers: Annotated[int, Field(ge=2, le=32)] = 8
    width: Annotated[int, Field(ge=8, le=4096)] = 256
    frequencies: Frequencies = 6
    bias: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Radius of the sphere that the network starts as."""


class GridSettings(Settings):
    """Learnt grids, with `geometry: planes` or `hash`, and the decoder of their features."""

    levels: Annotated[int, Field(ge=1, le=16)] = 2
    features: Annotated[int, Field(ge=1, le=64)] = 8
    """Numbers at each corner."""
    coarsest: Annotated[int, Field(ge=4, le=4096)] = 32
    finest: Annotated[int, Field(ge=4, le=4096)] = 96
    """Corners along each side of the first and the last level."""
    log2_rows: Annotated[int, Field(ge=8, le=24)] = 19
    """Logarithm of the most corners that a level of `hash` keeps; more share rows."""
    width: Annotated[int, Field(ge=8, le=1024)] = 64
    """Of the decoder's two layers."""
    frequencies: Frequencies = 4
    """Octaves of the point itself, which the decoder sees beside its features."""


class HeadSettings(Settings):
    """The networks of material and light."""

    layers: Count = 3
    width: Annotated[int, Field(ge=8, le=4096)] = 256


class BackgroundSettings(Settings):
    """The network of what is beyond the unit sphere."""

    layers: Annotated[int, Field(ge=2, le=32)] = 8
    width: Annotated[int, Field(ge=8, le=4096)] = 256
    frequencies: Frequencies = 10
    direction_frequencies: Frequencies = 4


class SamplingSettings(Settings):
    """Samples of a ray."""

    uniform: Annotated[int, Field(ge=4, le=4096)] = 64
    rounds: Annotated[int, Field(ge=0, le=8)] = 4
    per_round: Count = 16
    """Samples that each round puts where the surface seems to be."""
    background: Annotated[int, Field(ge=0, le=4096)] = 32
    clip_sharpness: bool = True
    """Whether rounds are never sharper than the surface itself is yet."""
    behind_sphere_only: bool = False
    """Whether what is beyond the sphere has samples behind it only; published: also in front, which
    lets fog stand before the object."""
    cache: Annotated[int, Field(ge=0, le=512)] = 0
    """Corners along each side of a grid of cached distances, which say where samples go: all in the
    surface's neighbourhood, none on rays that pass by it. `uniform` counts look-ups then, and
    `rounds` x `per_round` samples; 0, as published: networks are asked along the whole ray."""
    cache_every: Annotated[int, Field(ge=1)] = 16
    """Steps after which cached distances are asked anew."""
    skip_weight_below: Annotated[float, Field(ge=0, lt=1)] = 1e-7
    """Samples that weigh less have no colour computed. 1e-7 is below what single precision adds to
    a ray; 1e-4 saves half the time once there is a surface, and turns gradients by 2 %."""


PRESETS: dict[str, dict[str, Any]] = {
    "published": {},
    "tiny": {
        "sdf": {"layers": 4, "width": 64},
        "heads": {"layers": 2, "width": 64},
        "background": {"layers": 3, "width": 64, "frequencies": 6},
        "sampling": {
            "uniform": 24,
            "rounds": 2,
            "per_round": 12,
            "background": 8,
            "behind_sphere_only": True,
            "skip_weight_below": 1e-4,
        },
    },
    "fast": {
        "geometry": "planes",
        "trunk": "shared",
        "inv_s": 0.4,
        "grid": {"levels": 1, "coarsest": 64},
        "heads": {"layers": 2, "width": 64},
        "background": {"layers": 3, "width": 64, "frequencies": 6},
        "sampling": {
            "uniform": 40,
            "rounds": 2,
            "per_round": 10,
            "background": 8,
            "behind_sphere_only": True,
            "skip_weight_below": 1e-4,
            "cache": 32,
            "cache_every": 32,
        },
    },
}


class ModelSettings(Settings):
    """The networks of a shape."""

    size: Literal["published", "tiny", "fast"] = "published"
    geometry: Literal["mlp", "planes", "hash"] = "mlp"
    """What knows distance: NeRO's network, or learnt grids with a small decoder: three planes (for
    processors) or a hashed space (for a GPU)."""
    trunk: Literal["separate", "shared"] = "separate"
    """Whether metallic, roughness and albedo have networks of their own, as published, or one."""
    dual: bool = False
    """Whether a second colour is learnt plainly from place and direction, which counts as much as
    the surface is rough: what is matt tells no reflections apart (`loss.dual_from_step`)."""
    mode: Literal["reflection", "radiance"] = "reflection"
    """Colour from material and light, or (for comparison) plainly from a network, as NeuS."""
    density: Literal["cdf_ratio", "sigmoid"] = "cdf_ratio"
    """How distance becomes opacity: NeuS's ratio, or the source note's biased sigmoid."""
    compositing: Literal["srgb", "linear"] = "srgb"
    """The space in which samples are added up and compared; published: sRGB."""
    inv_s: Annotated[float, Field(gt=0, le=2)] = 0.3
    """Start of the sharpness' exponent: exp(10 inv_s)."""
    light_max_log: Annotated[float, Field(ge=-5, le=10)] = 0.0
    """Most light a direction may send, as its logarithm; 0: 1, as published for the shape."""
    sphere_direction: bool = False
    """Whether direct light also depends on where its ray leaves the unit sphere."""
    occlusion: bool = True
    """Whether a network says where reflected rays hit the object itself."""
    photographer: Literal["none", "standing", "fixed"] = "none"
    """Light of the person behind the camera: who walks with it, or stays (a fixed camera)."""

    exposure: Literal["same", "learned"] = "same"
    """Whether each photograph has a brightness of its own, learnt beside the shape: for cameras
    that were left to choose their exposure."""

    sdf: SdfSettings = SdfSettings()
    grid: GridSettings = GridSettings()
    heads: HeadSettings = HeadSettings()
    background: BackgroundSettings = BackgroundSettings()
    sampling: SamplingSettings = SamplingSettings()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("size") not in PRESETS:
            return given
        filled = dict(given)
        for part, values in PRESETS[given["size"]].items():
            own = filled.get(part)
            if not isinstance(values, dict):
                filled.setdefault(part, values)
            elif own is None or isinstance(own, dict):
                filled[part] = values | (own or {})
        return filled

    @model_validator(mode="after")
    def _fits_together(self) -> ModelSettings:
        if self.mode == "radiance":
            for key in ("sphere_direction", "photographer"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(
                        f"{key} has no effect with mode: radiance, which knows no light; drop it"
                    )
            if self.dual:
                raise ValueError(
                    "dual has no effect with mode: radiance, which is its half: drop it"
                )
        if self.sampling.cache and not self.sampling.behind_sphere_only:
            raise ValueError(
                "sampling.cache leaves no samples in front of the sphere: write "
                "sampling.behind_sphere_only: true, or sampling.cache: 0"
            )
        if self.sampling.cache and not self.sampling.rounds:
            raise ValueError("sampling.cache needs sampling.rounds of 1 or more")
        return self
