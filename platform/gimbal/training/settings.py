"""How a training run goes: everything counted in optimizer steps.

The number of workers enters nothing here (it lives in `gimbal.experiment.settings.Resources`), so
no learning rate, batch or epoch can change when a GPU is added.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gimbal.experiment.settings import Settings

PositiveInt = Annotated[int, Field(ge=1, le=1_000_000_000)]
Share = Annotated[float, Field(ge=0, lt=1)]

HOUSEKEEPING = frozenset(
    {
        "validate_every",
        "checkpoint_every",
        "keep_checkpoints",
        "best_metric",
        "best_mode",
        "gradient_report_every",
        "max_nonfinite",
        "divergence_factor",
        "divergence_patience",
        "log_every",
        "expected_samples",
        "compile",
    }
)
"""Keys that watch or store the trajectory but do not bend it: a resumed run may change them."""


class TrainSettings(Settings):
    """Settings of one training run."""

    steps: PositiveInt
    """Optimizer steps of the whole run; no default, since only the experiment knows."""
    global_batch: PositiveInt
    """Samples of one optimizer step over all workers; no default, since it decides the result."""

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """AdamW: the one that needs least tuning over nets of different kinds."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate; 1e-3 suits small nets under Adam, and a group may set its own `lr`."""
    momentum: Share = 0.9
    """Momentum of `sgd` only; .9 is what its learning rates are usually quoted for."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of Adam's two averages; the values of its paper."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """None unless asked for: a decay nobody chose is hard to notice; a group may set its own."""

    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of linear rise to the peak; none, since short runs have no step to give away."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """Fall after the warm-up; cosine ends a fixed-length run well without further tuning."""
    final_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the peak rate that `cosine` and `linear` end at; 0 lets the weights settle."""

    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest gradient norm of *each* parameter group, so that independent nets do not couple;
    1 rarely binds on a healthy mean loss and tames the rare bad batch. None: never clip."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the forward pass; fp32 is exact everywhere, bf16 pays on recent GPUs."""
    compile: bool = False
    """`torch.compile` of the module's `forward`; off, since compiling costs up to a minute."""

    validate_every: PositiveInt | None = None
    """Steps between validations; none: only after the last step."""
    checkpoint_every: PositiveInt | None = None
    """Steps between checkpoints; none: twenty over the run, so that at most 5 % is ever lost."""
    keep_checkpoints: PositiveInt = 2
    """Newest checkpoints kept besides the best; two, so that a damaged one has a predecessor."""
    best_metric: str | None = None
    """Validation metric that names the best checkpoint; none: the last one is the best."""
    best_mode: Literal["min", "max"] = "min"
    """Whether the best is the smallest or the largest; most validation numbers are losses."""
    gradient_report_every: PositiveInt | None = None
    """Steps between gradient reports; none: ten over the run, and always the first step."""
    max_nonfinite: Annotated[int, Field(ge=0)] = 10
    """Steps a run may skip for a non-finite loss or gradient; ten bad batches are no accident."""
    divergence_factor: Annotated[float, Field(gt=1)] | None = 10.0
    """Stop when the smoothed loss stays this many times its first level above it; ten is far
    outside noise. None: never, for losses whose weights grow by design."""
    divergence_patience: PositiveInt = 100
    """Steps the smoothed loss must stay that high; long enough for a spike to pass."""
    log_every: PositiveInt = 10
    """Steps between lines of metrics.jsonl; ten keeps the curve smooth and the file small."""
    expected_samples: PositiveInt | None = None
    """Training samples there must be, or not one step is taken; none: any number, which is said
    before the first step."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be smaller than steps ({self.steps}): "
                "shorten warmup_steps or raise steps"
            )
        if self.schedule == "constant" and self._changed("final_share"):
            raise ValueError(
                "final_share has no effect with schedule: constant; drop it or choose cosine"
            )
        if self.optimizer != "sgd" and self._changed("momentum"):
            raise ValueError(
                f"momentum has no effect with optimizer: {self.optimizer}; set betas instead"
            )
        if self.optimizer == "sgd" and self._changed("betas"):
            raise ValueError("betas have no effect with optimizer: sgd; set momentum instead")
        if self.best_metric is None and self._changed("best_mode"):
            raise ValueError("best_mode needs best_metric: name the validation metric it is about")
        return self

    def _changed(self, key: str) -> bool:
        """Return whether a key was set to something else; a config written out names all keys."""
        return bool(getattr(self, key) != type(self).model_fields[key].default)

    @property
    def checkpoint_interval(self) -> int:
        """Steps between checkpoints."""
        return self.checkpoint_every or max(1, -(-self.steps // 20))

    @property
    def gradient_report_interval(self) -> int:
        """Steps between gradient reports."""
        return self.gradient_report_every or max(1, -(-self.steps // 10))

    def trajectory(self) -> dict[str, Any]:
        """Return the keys that decide the trajectory, as JSON.

        A constant rate does not depend on the length of the run, so there `steps` is left out and
        a finished run may be made longer.
        """
        keys = self.model_dump(mode="json", exclude=set(HOUSEKEEPING))
        if self.schedule == "constant":
            keys.pop("steps")
        return keys
