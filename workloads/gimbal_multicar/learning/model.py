"""The multi-view model and its blind twin, made from a config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from gimbal_multicar.learning.blind import BlindPoses, BlindTwin
from gimbal_multicar.learning.drawing import probabilities_of
from gimbal_multicar.learning.fitting import VIEWS_OF_A_CAR, shape_of
from gimbal_multicar.learning.settings import ModelSettings, PriorSettings, SampleSettings
from gimbal_vision.multiview.checkpointing import Checkpointing
from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.pose_prior import PosePriorCorrection
from gimbal_vision.multiview.shape import ModelShape
from gimbal_vision.multiview.views import InputUse, Predictions, Views

HEADS = ("pose_head", "dense_head", "scale_head")
POSE_ENCODERS = ("quaternion.", "translation.", "translation_scale.")
BLIND_LR = 1e-3


class CoopTwins(nn.Module):
    """Both networks, side by side on the same samples.

    Args:
        model: Sees.
        blind: Knows how many cars there are, and which picture of a car is which.
        priors: What the model is told of where cars are; see `priors.with_agent_priors`.
    """

    def __init__(
        self, model: MultiViewModel, blind: BlindTwin, priors: PriorSettings | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.blind = blind
        self.priors = priors or PriorSettings()
        self.prior = PosePriorCorrection() if self.priors.use_agent_pose_prior else None

    def seen(self, views: Views, use: InputUse | None = None) -> Predictions:
        """Return what the model says; told poses are corrected first, where there is a prior."""
        if self.prior is not None and use is not None:
            views = self.prior(views)
        said: Predictions = self.model(views, use)
        return said

    def forward(
        self, views: Views, use: InputUse | None = None, seats: Tensor | None = None
    ) -> tuple[Predictions, BlindPoses]:
        """Return both answers; the twin reads nothing but `views.present`, its shape and seats.

        Args:
            views: What the model may see.
            use: What it is told besides images.
            seats: See `blind.seats_of`.
        """
        said = self.seen(views, use)
        present = views.present
        if present is None:
            present = views.img.new_ones(views.img.shape[:2]).bool()
        return said, self.blind(present, seats)


def build_model(settings: ModelSettings, samples: SampleSettings) -> CoopTwins:
    """Make both networks with random weights; torch's generator decides which.

    Args:
        settings: The model.
        samples: What a view is.
    """
    shape = shape_of(settings)
    model = MultiViewModel(
        shape,
        image_encoder=_image_encoder(shape, settings, samples),
        checkpointing=Checkpointing(
            encoder=settings.checkpoint_encoder,
            trunk=settings.checkpoint_trunk,
            heads=settings.checkpoint_heads,
        ),
        agents=samples.max_cars if settings.agent_embedding else 0,
    )
    twins = CoopTwins(model, BlindTwin(_places(samples)), settings.priors)
    for parameter in _frozen(twins, settings):
        parameter.requires_grad_(False)
    return twins


def _image_encoder(
    shape: ModelShape, settings: ModelSettings, samples: SampleSettings
) -> nn.Module | None:
    """Return the encoder of a view that is no plain image; None: the shape's own."""
    if samples.views != "fused_cameras":
        return None
    from gimbal_vision.multiview.camera_fusion import FusedCameraEncoder

    return FusedCameraEncoder(
        shape,
        rel_pose=settings.priors.use_rel_pose_prior,
        fusion=settings.fusion,
        again=settings.checkpoint_encoder,
    )


def _places(samples: SampleSettings) -> int:
    """Return how many views of its own a car has."""
    return VIEWS_OF_A_CAR[samples.views] if samples.views == "cameras" else 1


def _frozen(twins: CoopTwins, settings: ModelSettings) -> Iterator[nn.Parameter]:
    """Yield what is not trained: all but the heads, or encoders of what is never told."""
    if settings.train_only == "heads":
        for name, parameter in twins.model.named_parameters():
            if name.partition(".")[0] not in HEADS:
                yield parameter
    if probabilities_of(settings.given) is None:
        told = ("norm.", *POSE_ENCODERS * settings.priors.use_agent_pose_prior)
        for name, parameter in twins.model.geometry.named_parameters():
            if not name.startswith(told):
                yield parameter


def parameter_groups(
    twins: CoopTwins, settings: ModelSettings, *, lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return the parameters to train, by part, and by whether they decay.

    Vectors (biases, gains of norms, LayerScale, tokens) never decay. The image encoder has its own
    rate; the twin's is at least 1e-3, since a control that is still learning is none.

    Args:
        twins: Both networks.
        settings: `encoder_lr_share`.
        lr: The model's peak rate.
        weight_decay: Of matrices.
    """
    encoder = {id(p) for p in twins.model.image_encoder.parameters()}
    parts: dict[tuple[str, bool], list[nn.Parameter]] = {}
    prior = () if twins.prior is None else twins.prior.parameters()
    for parameter in (*twins.model.parameters(), *prior):
        if parameter.requires_grad:
            part = "encoder" if id(parameter) in encoder else "model"
            decays = parameter.ndim > 1 or weight_decay == 0.0
            parts.setdefault((part, decays), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {
            "name": part if decays else f"{part} vectors",
            "params": parameters,
            "lr": lr * (settings.encoder_lr_share if part == "encoder" else 1.0),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in parts.items()
    ]
    twin = {"name": "blind", "params": list(twins.blind.parameters()), "weight_decay": 0.0}
    return [*groups, {**twin, "lr": max(lr, BLIND_LR)}]
