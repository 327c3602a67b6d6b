"""The workload `nbv`: train a next-best-view policy and compare it honestly with its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gimbal.experiment.stage import Gate, Stage
from gimbal.experiment.workload import Workload
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.config import EvaluateSettings, NbvConfig
from gimbal_nbv.learned_stages import learned_stages
from gimbal_nbv.model_settings import needs_images
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.stages.constant import ConstantStage
from gimbal_nbv.stages.evaluating import EvaluateStage
from gimbal_nbv.stages.meshes import MeshesStage
from gimbal_nbv.stages.oracle import OracleStage
from gimbal_nbv.stages.reporting import ReportStage
from gimbal_nbv.stages.rollouts import RolloutsStage
from gimbal_nbv.stages.states import StatesStage
from gimbal_nbv.stages.training import PolicySettings, PolicyStage
from gimbal_nbv.stages.views import ViewsStage


class NbvWorkload(Workload[NbvConfig]):
    """Meshes → views → oracle → states → train → rollouts → evaluate → report.

    Networks that policies build on are trained, gated and tested between oracle and states.
    """

    name: ClassVar[str] = "nbv"
    config = NbvConfig

    def stages(self, config: NbvConfig) -> Sequence[Stage]:
        """Return all stages of a training run."""
        return (
            *data_stages(config, evaluate_only=False),
            *learned_stages(config),
            states_stage(config),
            PolicyStage(
                name="train",
                settings=PolicySettings(
                    model=config.model, objective=config.objective, train=config.train
                ),
                seed=config.seed,
                views=config.views,
                oracle=config.oracle,
                completion=_rendered_with(config),
                multiview=_read_or_rendered(config),
                inputs=_train_inputs(config),
            ),
            ConstantStage(
                name="constant",
                settings=config.evaluate.rollouts,
                seed=config.seed,
                views=config.views,
                oracle=config.oracle,
                first_view=config.first_view,
            ),
            *judging_stages(config),
            ReportStage(name="report", settings=config.evaluate, inputs=_report_inputs(config)),
        )

    def notices(self, config: NbvConfig) -> Sequence[str]:
        """Say which policy reads the tokens that were asked for."""
        if config.model.extractor == "pointmap":
            return ()
        return (
            f"model.extractor: {config.model.extractor} is read by model.policy: attention; its "
            "network is trained first, on views of training objects (stage multiview)",
        )

    def cli(self) -> Any:
        """Return the commands under `gimbal nbv`."""
        from gimbal_nbv.cli import app

        return app


def data_stages(config: NbvConfig, *, evaluate_only: bool) -> tuple[Stage, ...]:
    """Return the stages that describe the objects.

    Args:
        config: The experiment.
        evaluate_only: Every object of `data.meshes` is held out.
    """
    return (
        MeshesStage(
            name="meshes",
            settings=config.data,
            seed=config.seed,
            max_bad_share=config.data.max_bad_share,
            evaluate_only=evaluate_only,
        ),
        ViewsStage(
            name="views",
            settings=config.views,
            seed=config.seed,
            num_gpus=1.0 if config.views.device == "cuda" else 0.0,
        ),
        OracleStage(
            name="oracle",
            settings=config.oracle,
            seed=config.seed,
            max_bad_share=config.data.max_bad_share,
            views=config.views,
        ),
    )


def states_stage(config: NbvConfig) -> StatesStage:
    """Return the stage that draws training states, with what the policy needs in them."""
    tokens = needs_images(config.model)
    learned = config.states.target == "learned_rri"
    images = ("views",) if tokens else ()
    return StatesStage(
        name="states",
        settings=config.states,
        seed=config.seed,
        views=config.views,
        oracle=config.oracle,
        extractor=config.model.extractor if tokens else None,
        features=not tokens or config.model.candidate_features == "rays",
        information=config.objective.information_gain > 0,
        first_view=config.first_view,
        completion=config.completion if learned else None,
        multiview=config.multiview if _reads_multiview(config) else None,
        inputs=(
            *images,
            "oracle",
            *(("multiview",) if _reads_multiview(config) else ()),
            *(("completion", "sensitivity") if learned else ()),
        ),
    )


def judging_stages(config: NbvConfig, *, drift: tuple[str, ...] = ()) -> tuple[Stage, ...]:
    """Return the stages that roll policies out and measure them.

    Args:
        config: The experiment.
        drift: How what is here differs from what the policy was trained with.
    """
    return (
        RolloutsStage(
            name="rollouts",
            settings=config.evaluate.rollouts,
            seed=config.seed,
            views=config.views,
            oracle=config.oracle,
            model=config.model,
            first_view=config.first_view,
            completion=config.completion,
            multiview=config.multiview if _reads_multiview(config) else None,
            inputs=_rollout_inputs(config),
        ),
        EvaluateStage(
            name="evaluate",
            settings=config.evaluate,
            seed=config.seed,
            views=config.views,
            oracle=config.oracle,
            gates=_gates(config.evaluate),
            drift=drift,
            first_view=config.first_view,
        ),
    )


def _rendered_with(config: NbvConfig) -> CompletionSettings | None:
    """Return the learned reconstruction that the policy is trained through, if any."""
    detached = config.objective.name == "detached_cd"
    learned = detached and config.objective.reconstruction == "completion"
    return config.completion if learned else None


def _train_inputs(config: NbvConfig) -> tuple[str, ...]:
    rendered = config.objective.name == "detached_cd"
    learned = ("completion",) if _rendered_with(config) else ()
    if rendered and config.objective.reconstruction == "multiview":
        learned = ("multiview",)
    return (*(("meshes", "views", "oracle") if rendered else ()), *learned, "states")


def _rollout_inputs(config: NbvConfig) -> tuple[str, ...]:
    images = ("views",) if needs_images(config.model) else ()
    guided = ("completion",) if config.completion is not None else ()
    tokens = ("multiview",) if _reads_multiview(config) else ()
    return (*images, "oracle", *tokens, *guided, "constant", "train")


def _reads_multiview(config: NbvConfig) -> bool:
    """Return whether the policy looks through the multi-view model."""
    return config.model.extractor == "multiview"


def _read_or_rendered(config: NbvConfig) -> MultiviewSettings | None:
    """Return the multi-view model that training a policy needs to know, if any."""
    rendered = config.objective.name == "detached_cd"
    through = rendered and config.objective.reconstruction == "multiview"
    return config.multiview if _reads_multiview(config) or through else None


def _report_inputs(config: NbvConfig) -> tuple[str, ...]:
    measured = ("sensitivity", "oracle_test") if config.multiview is not None else ()
    return (*measured, "train", "evaluate")


def _gates(settings: EvaluateSettings) -> tuple[Gate, ...]:
    if settings.min_gap_closed is None:
        return ()
    return (
        Gate(
            name="gap_closed",
            metric="gap_closed.value",
            op=">=",
            threshold=settings.min_gap_closed,
            hint="train on more objects (data.train_shapes) or longer (train.steps); if the blind "
            "control is as good, the policy ignores its input: look at the report",
        ),
    )
