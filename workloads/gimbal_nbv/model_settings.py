"""Which network chooses views, and what it is trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings


class ModelSettings(Settings):
    """The policy's network."""

    policy: Literal["scorer", "attention"] = "scorer"
    """`scorer`: a small net over each candidate's ray image; `attention`: tokens of the views."""
    hidden: Annotated[int, Field(ge=1, le=8192)] = 64
    """Width of the scorer's layers."""
    temperature: Annotated[float, Field(gt=0.0)] = 0.1
    """Softness of the oracle targets: softmax(gain / temperature)."""
    preset: Literal["default", "source"] = "default"
    """`source`: the source's own layout, 14 million parameters at 768 numbers a token."""
    extractor: Literal["pointmap", "multiview"] = "pointmap"
    """Who turns images, depth and cameras into tokens: a formula on each view's point map, or the
    multi-view model that the run trains first (`multiview`). Anything but the default implies
    `policy: attention`, which alone reads tokens, unless a policy is set."""
    head: Literal["discrete", "cartesian", "spherical", "spherical_periodic", "unit_vector"] = (
        "discrete"
    )
    """`discrete` scores every candidate; the others name one direction."""
    pooling: Literal["none", "grid", "attn", "hits", "mean"] = "grid"
    """How a view's tokens are pooled: `hits` keeps the 24 patches with most surface, `attn` asks by
    learned queries, `mean` loses where the unseen boundary is."""
    candidate_features: Literal["none", "rays"] = "none"
    """`rays` adds the scorer's numbers about each candidate to its query."""
    relative: bool = True
    """Let candidates see the tokens' points in their own frame."""
    coordinates: bool = True
    """Show the network coordinates of the first view's frame; without them its answer cannot depend
    on how the first camera was rolled."""
    refinement: bool = False
    """Let the discrete head move off its best candidate, by half the spacing at most. Rollouts take
    candidates, so this changes what a policy says (`direction`), and no number of an evaluation."""
    width: Annotated[int, Field(ge=8, le=4096)] = 96
    """Numbers of a token inside the attention policy; divisible by `heads`."""
    layers: Annotated[int, Field(ge=1, le=48)] = 2
    heads: Annotated[int, Field(ge=1, le=64)] = 4

    @model_validator(mode="before")
    @classmethod
    def _reads_tokens(cls, given: Any) -> Any:
        """Let an extractor that was asked for be read, where no policy was set."""
        if not isinstance(given, Mapping) or "policy" in given:
            return given
        default = cls.model_fields["extractor"].default
        asked = given.get("extractor", default) != default
        return {**given, "policy": "attention"} if asked else given

    @model_validator(mode="after")
    def _has_effect(self) -> ModelSettings:
        if self.policy == "scorer":
            self._refuse(_ATTENTION_ONLY, "model.policy: scorer", "set model.policy: attention")
        else:
            self._refuse(("hidden",), "model.policy: attention", "set model.width instead")
        if self.preset == "source":
            given = ("preset", "head", "extractor")
            fixed = tuple(key for key in _ATTENTION_ONLY if key not in given)
            self._refuse(fixed, "model.preset: source", "use model.preset: default")
            if self.head == "discrete":
                raise ValueError(
                    "model.preset: source answers with a direction; set model.head to cartesian "
                    "(its own), spherical, spherical_periodic or unit_vector"
                )
        if self.head != "discrete":
            keys = ("candidate_features", "relative", "refinement")
            self._refuse(keys, f"model.head: {self.head}", "set model.head: discrete")
        if not self.coordinates and (
            self.head != "discrete" or self.refinement or not self.relative
        ):
            raise ValueError(
                "model.coordinates: false needs model.head: discrete, model.relative: true and no "
                "model.refinement: a direction cannot be said without a frame"
            )
        if not self.coordinates and self.extractor != "pointmap":
            raise ValueError(
                f"model.coordinates: false needs model.extractor: pointmap; which numbers of a "
                f"token of {self.extractor} depend on the first camera's roll nobody knows"
            )
        if self.width % self.heads:
            raise ValueError(
                f"model.width ({self.width}) must be divisible by model.heads ({self.heads})"
            )
        return self

    def _refuse(self, keys: Sequence[str], where: str, instead: str) -> None:
        fields = type(self).model_fields
        changed = [key for key in keys if getattr(self, key) != fields[key].default]
        if changed:
            raise ValueError(
                f"model.{changed[0]} has no effect with {where}; leave it out or {instead}"
            )


_ATTENTION_ONLY = (
    "preset",
    "extractor",
    "head",
    "pooling",
    "candidate_features",
    "relative",
    "coordinates",
    "refinement",
    "width",
    "layers",
    "heads",
)


class ObjectiveSettings(Settings):
    """What the policy is trained for."""

    name: Literal[
        "oracle_soft", "map_ascent", "rri_regression", "argmax_regression", "detached_cd"
    ] = "oracle_soft"
    """`oracle_soft`: match the softmax of the true gains; `map_ascent`: climb the map of gains;
    `rri_regression`: regress each gain; `argmax_regression`: regress the best direction (weak, for
    comparison); `detached_cd`: the source's route, through the declared pose of a rendered view."""
    regret_weight: Annotated[float, Field(ge=0.0)] = 3.0
    """Weight of the expected regret beside the divergence of `oracle_soft`."""
    kappa: Annotated[float, Field(gt=0.0)] = 25.0
    """Sharpness of `map_ascent`'s kernel exp(kappa cos), for 64 candidates."""
    gumbel: bool = False
    """Draw the candidate by straight-through Gumbel softmax in `map_ascent` of a discrete head; the
    exact expectation has no noise and is the default."""
    norm_penalty: Annotated[float, Field(ge=0.0)] = 0.1
    """Weight of (|v| - 1)^2 for head `unit_vector`, whose only bad place is v = 0."""
    information_gain: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of an auxiliary task: tell each candidate's share of unknown rays and the coverage."""
    reconstruction: Literal["fusion", "completion", "multiview"] = "fusion"
    """What `detached_cd` reconstructs with: measured points, or what a network trained before says
    (`completion`, `multiview`)."""
    normalise: Literal["none", "before", "range"] = "before"
    """`detached_cd`: the raw distance, its ratio to that before the view (1 - RRI), or its place
    between the best and the worst candidate (regret)."""
    sums: bool = False
    """`detached_cd`: sums of squared distances as in the source, instead of means."""
    image_size: Annotated[int, Field(ge=16, le=256)] = 48
    """`detached_cd`: side of the rendered depth, rounded up to what every n-th pixel of the
    stored views gives."""


def needs_images(settings: ModelSettings) -> bool:
    """Return whether the policy looks at tokens of images, not only at what they measured."""
    return settings.policy == "attention"


def idle_keys(model: ModelSettings, objective: ObjectiveSettings) -> list[str]:
    """Return keys that were set and have no effect with the rest, such as `objective.kappa`."""
    name = objective.name
    continuous = model.policy == "attention" and model.head != "discrete"
    detached = name == "detached_cd"
    works = {
        "objective.regret_weight": name == "oracle_soft",
        "objective.kappa": (continuous and name in ("oracle_soft", "map_ascent"))
        or model.refinement,
        "objective.norm_penalty": continuous and model.head == "unit_vector",
        "objective.information_gain": model.policy == "attention"
        and model.preset == "default"
        and not detached,
        "objective.reconstruction": detached,
        "objective.normalise": detached,
        "objective.sums": detached,
        "objective.image_size": detached,
        "model.temperature": name == "oracle_soft",
    }
    given = {"model": model, "objective": objective}
    return [key for key, working in works.items() if not working and _changed(given, key)]


def _changed(given: Mapping[str, Settings], key: str) -> bool:
    owner, field = key.split(".")
    settings = given[owner]
    return bool(getattr(settings, field) != type(settings).model_fields[field].default)
