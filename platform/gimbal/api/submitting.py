"""From a request to what the store keeps: a registered workload and a config that fits it.

No part of a request ever becomes a command: the launcher runs one fixed entry point on a file.
Placement is decided here once, so that the job, its config and its admission say the same.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gimbal.api.problems import ApiProblem, pointer
from gimbal.api.routing import body_error
from gimbal.api.schemas import EXPERIMENT_LENGTH, MAX_GPUS, SubmitJob
from gimbal.errors import ConfigError
from gimbal.experiment.config_errors import key_problems
from gimbal.experiment.plain import to_plain
from gimbal.experiment.registry import load_workload
from gimbal.experiment.settings import ExperimentSettings, Resources
from gimbal.experiment.workload import Workload
from gimbal.jobs.attempt_files import placed_config
from gimbal.jobs.model import JobSpec
from gimbal.jobs.peaks import peak_key

logger = logging.getLogger(__name__)


def spec_of(body: SubmitJob, user: str, *, cards: int, runs_dir: Path) -> JobSpec:
    """Return what a request asks for.

    Args:
        body: The request.
        user: Who sends it.
        cards: How many cards the cluster has, for configs that say `auto`.
        runs_dir: The service's runs folder.

    Raises:
        ApiProblem: 422, with a pointer to everything that does not fit.
    """
    workload = _workload(body.workload)
    settings = _checked(workload, _named(body))
    gpus, share, memory_bytes = _placement(body, settings.resources, cards)
    config = to_plain(settings)
    spec = JobSpec(
        workload=body.workload,
        experiment=settings.experiment,
        config=config,
        user=user,
        gpus=gpus,
        share=share,
        memory_bytes=memory_bytes,
        priority=body.priority,
        peak_key=peak_key(config),
    )
    _checked(workload, placed_config(spec, runs_dir))
    return spec


@lru_cache(maxsize=64)
def _loaded(name: str) -> Workload[Any]:
    return load_workload(name)  # an error is not cached: the package may be mended meanwhile


def _workload(name: str) -> Workload[Any]:
    try:
        return _loaded(name)
    except ConfigError as error:
        raise ApiProblem(
            422,
            "unknown_workload",
            error.message,
            remedy=error.remedy,
            errors=[("/workload", error.message)],
        ) from error


def _named(body: SubmitJob) -> dict[str, Any]:
    config = dict(body.config)
    if config.setdefault("workload", body.workload) != body.workload:
        raise body_error("the config names another workload", "config", "workload")
    if body.name is not None:
        config["experiment"] = body.name
    experiment = config.setdefault("experiment", body.workload)
    if isinstance(experiment, str) and len(experiment) > EXPERIMENT_LENGTH:
        raise body_error(f"is longer than {EXPERIMENT_LENGTH} characters", "config", "experiment")
    return config


def _checked(workload: Workload[Any], config: dict[str, Any]) -> ExperimentSettings:
    words = f"the config does not fit the workload {workload.name!r}"
    try:
        settings = workload.config.model_validate(config)
        assert isinstance(settings, ExperimentSettings)  # the registry lets no other in
        return settings
    except ValidationError as error:
        found = key_problems(error, workload.config, config)
        errors = [
            (pointer("config", *it.path), f"{it.message}; {it.remedy}" if it.remedy else it.message)
            for it in found
        ]
    except ConfigError as error:
        errors = [("/config", str(error))]
    except Exception as error:  # a workload's own checks may fail in any way on strange values
        logger.warning("config_check_failed", exc_info=True)
        errors = [("/config", f"{type(error).__name__}: {error}")]
    raise ApiProblem(
        422, "invalid_config", words, remedy="correct the keys in `errors`", errors=errors
    )


def _placement(body: SubmitJob, resources: Resources, cards: int) -> tuple[int, float, int | None]:
    """Return cards, share of each, and memory on each."""
    gpus, share = _of_config(resources, cards)
    if body.gpus is not None:
        gpus = body.gpus
        share = share if share and gpus == 1 else 1.0
    if body.gpu_share is not None:
        share = body.gpu_share
    if gpus == 0:
        return 0, 1.0, None
    memory = body.gpu_memory if body.gpu_memory is not None else resources.gpu_memory
    if share < 1 and (gpus != 1 or memory is None):
        raise body_error(
            "a share of a card is for one GPU (`gpus`: 1) with stated `gpu_memory`", "gpu_share"
        )
    return gpus, share, None if memory is None else int(memory)


def _of_config(resources: Resources, cards: int) -> tuple[int, float]:
    each, workers = resources.gpus_per_worker, resources.workers
    if each == "auto":
        return (workers if workers <= cards else 0), 1.0
    if each > 1 or workers > MAX_GPUS:
        raise body_error(
            f"a worker has one card at most, a job {MAX_GPUS}; set `gpus`",
            "config",
            "resources",
            "gpus_per_worker",
        )
    return (workers if each else 0), float(each) or 1.0
