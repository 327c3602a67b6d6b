"""One stage a diagnostic: `diagnosis.json` and a page, made on Ray, kept and never made twice.

Each diagnostic is a class of its own because a stage's fingerprint counts the code that its class
names: an edit to one diagnostic must not make all others run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.files import atomic_write_bytes, atomic_write_json
from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.diagnostics.registry import DIAGNOSTICS

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.finding import Diagnosis

DIAGNOSIS_FILE = "diagnosis.json"


class DiagnosisSettings(Settings):
    """What decides a diagnosis beside the run itself."""

    objects: int = 64
    """Look at no more objects than this."""


@dataclass(frozen=True, kw_only=True)
class DiagnoseStage(TaskStage):
    """Asks one question about a run.

    Attributes:
        config: Settings of the examined run; see `without_places`.
        about: What the page says it examined, such as a run's id.
        drift: How what is here differs from what made the run.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numba", "numpy", "plotly", "scipy", "torch")
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"about"}

    settings: DiagnosisSettings
    config: NbvConfig
    about: str = ""
    drift: tuple[str, ...] = ()

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `diagnosis.json` and `<name>.html`; return the verdict and every check's value."""
        from gimbal_nbv.diagnostics.bench import Bench
        from gimbal_nbv.diagnostics.page import render_diagnosis
        from gimbal_nbv.diagnostics.record import record_of

        bench = Bench(config=self.config, inputs=inputs, objects_limit=self.settings.objects)
        diagnosis: Diagnosis = import_module(self.code_modules[0]).measure(bench, progress)
        record = record_of(diagnosis) | {"drift": list(self.drift)}
        atomic_write_json(out_dir / DIAGNOSIS_FILE, record)
        page = render_diagnosis(diagnosis, about=self.about, drift=self.drift)
        atomic_write_bytes(out_dir / f"{self.name}.html", page.encode())
        return _metrics(record)


def _metrics(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "verdict": record["verdict"],
        "passed": float(record["verdict"] == "PASS"),
        "checks": {check["id"]: check["value"] for check in record["checks"]},
        **({"drift": record["drift"]} if record["drift"] else {}),
    }


def _code(name: str) -> tuple[str, ...]:
    return (DIAGNOSTICS[name].module,)


class OracleTestStage(DiagnoseStage):
    """Does the loss tell good views from bad ones?"""

    code_modules: ClassVar[tuple[str, ...]] = _code("oracle-test")


class ViewSensitivityStage(DiagnoseStage):
    """Does every further view improve the reconstruction?"""

    code_modules: ClassVar[tuple[str, ...]] = _code("view-sensitivity")


class GradientReportStage(DiagnoseStage):
    """Does the detached gradient point where the true one points?"""

    code_modules: ClassVar[tuple[str, ...]] = _code("gradient-report")


class LandscapeStage(DiagnoseStage):
    """What does the sphere of candidates look like?"""

    code_modules: ClassVar[tuple[str, ...]] = _code("landscape")


class VarianceReportStage(DiagnoseStage):
    """How much of the loss is the luck of the first view?"""

    code_modules: ClassVar[tuple[str, ...]] = _code("variance-report")


class BlindControlStage(DiagnoseStage):
    """Does the policy use what it sees?"""

    code_modules: ClassVar[tuple[str, ...]] = _code("blind-control")


class OutputModesStage(DiagnoseStage):
    """Where does the policy's head point?"""

    code_modules: ClassVar[tuple[str, ...]] = _code("output-modes")


_STAGES: dict[str, type[DiagnoseStage]] = {
    stage.code_modules[0]: stage
    for stage in (
        OracleTestStage,
        ViewSensitivityStage,
        GradientReportStage,
        LandscapeStage,
        VarianceReportStage,
        BlindControlStage,
        OutputModesStage,
    )
}


def diagnose_stage(
    name: str,
    config: NbvConfig,
    *,
    objects: int = 64,
    uses: tuple[str, ...] = (),
    about: str = "",
    drift: tuple[str, ...] = (),
) -> DiagnoseStage:
    """Make the stage of a diagnostic.

    Args:
        name: Its name in the registry.
        config: Settings of the examined run.
        objects: Look at no more objects than this.
        uses: Which of the stages it can also read are there.
        about: What the page says it examined.
        drift: How what is here differs from what made the run.
    """
    entry = DIAGNOSTICS[name]
    return _STAGES[entry.module](
        name=name,
        settings=DiagnosisSettings(objects=objects),
        seed=config.seed,
        inputs=(*entry.needs, *uses),
        config=without_places(config),
        about=about,
        drift=drift,
    )


def without_places(config: NbvConfig) -> NbvConfig:
    """Return a config without what says where and under which name it runs.

    Those decide no number, and a diagnosis must not be made anew because a folder was renamed. The
    objects' own folder goes too: what was in it is in the stages already.
    """
    kept = config.model_dump(exclude={"platform", "resources", "sweep", "experiment"})
    kept["data"]["meshes"] = None
    return type(config).model_validate({**kept, "experiment": "diagnosis"})
