"""Stage `evaluate`: held-out samples, images alone, beside baselines that see nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gimbal.experiment.files import atomic_write_bytes, atomic_write_json, ensure_folder
from gimbal.experiment.samples import write_samples
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.judging.summary import gates_of, summary_table
from gimbal_multicar.learning.fitting import samples_at_once
from gimbal_multicar.learning.settings import JudgeSettings, ModelSettings, SampleSettings
from gimbal_multicar.stages.training import view_stages

if TYPE_CHECKING:
    from gimbal_multicar.judging.samples import JudgedSample
    from gimbal_multicar.learning.asking import HeldOut

EVALUATION_FILE = "evaluation.json"
SHOWN_FOLDER = "shown"
PROTOCOL = "cooperating-cars-v1"


@dataclass(frozen=True, kw_only=True)
class EvaluateStage(TaskStage):
    """Judges the best checkpoint; see `evaluating_stage`, which makes it from a config.

    Attributes:
        samples: Which cars make a sample, and what a view is.
        model: The model it was trained with.
        max_views_per_worker: Views of one forward pass; None: a few samples' at a time.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "pykdtree", "torch", "pyarrow")
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"max_views_per_worker"}

    settings: JudgeSettings
    samples: SampleSettings
    model: ModelSettings
    max_views_per_worker: int | None = None
    inputs: tuple[str, ...] = ("panoramas", "train")

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `evaluation.json`, `samples.json`, a summary and the shown samples' answers."""
        from gimbal_multicar.judging.evaluation import evaluate, sample_metrics
        from gimbal_multicar.judging.intervals import Drawing
        from gimbal_multicar.judging.points import Thinning
        from gimbal_multicar.learning.asking import measured

        held_out = self.held_out(inputs)
        thinning = Thinning(points=self.settings.cloud_points, seed=self.seed)
        records, sets = measured(held_out, thinning, progress)
        drawing = Drawing(draws=self.settings.bootstrap, seed=self.seed)
        result = evaluate(records, sets, self._baselines(inputs), drawing)
        result["headline"]["coverage"] = _coverage(held_out)
        result["protocol"] = self.protocol(result["contract"])
        result["told"] = self._told(held_out, result["headline"], progress)
        result["shown"] = self._show(held_out, records, out_dir)
        atomic_write_json(out_dir / EVALUATION_FILE, result)
        metrics = sample_metrics(result["per_sample"])
        write_samples(out_dir, protocol=result["protocol"], sample="moment", metrics=metrics)
        atomic_write_json(out_dir / "summary.json", summary_table(result))
        return {**result["headline"], "contract_sha256": result["contract"]["sha256"]}

    def held_out(self, inputs: StageInputs) -> HeldOut:
        """Open the samples and load the best checkpoint."""
        from gimbal.data.reading import BlockReader
        from gimbal.training.checkpoints import best
        from gimbal_multicar.judging.rows import CarFacts
        from gimbal_multicar.learning.asking import HeldOut
        from gimbal_multicar.learning.loading import load_twins
        from gimbal_multicar.learning.sources import open_source

        folders = {name: output.path for name, output in inputs.items()}
        twins = load_twins(best(folders["train"]), self.model, self.samples)
        limit = {"max_views_per_worker": self.max_views_per_worker}
        return HeldOut(
            twins=twins.to(self.settings.device),
            source=open_source(folders, self.settings.split, self.samples, training=False),
            facts=CarFacts(BlockReader(folders["panoramas"])),
            at_once=samples_at_once(self.samples.model_copy(update=limit)),
        )

    def protocol(self, contract: Mapping[str, Any]) -> dict[str, Any]:
        """Return what must be equal for two evaluations to be comparable.

        What a view is, is left out on purpose: poses of cars are compared across kinds of views.
        """
        return {
            "name": PROTOCOL,
            "split": self.settings.split,
            "samples": len(contract["frames"]),
            "max_distance_m": self.samples.max_distance_m,
            "min_cars": self.samples.min_cars,
            "max_cars": self.samples.max_cars,
            "told": "images",
            "contract_sha256": contract["sha256"],
        }

    def _baselines(self, inputs: StageInputs) -> Any:
        from gimbal.data.reading import BlockReader
        from gimbal_multicar.judging.baselines import fit_baselines
        from gimbal_multicar.judging.rows import training_partners
        from gimbal_multicar.learning.samples import rule_of

        reader = BlockReader(inputs["panoramas"].path)
        return fit_baselines(training_partners(reader, rule_of(self.samples, training=False)))

    def _told(
        self, held_out: HeldOut, headline: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]:
        """Return the table by what the model is told; images alone come first."""
        from gimbal_multicar.learning.asking import PRIORS, told_numbers

        names = ("pose_trans_m", "pose_rot_deg", "depth_rel")
        table: dict[str, Any] = {"images": {name: headline.get(name) for name in names}}
        more = (*self.settings.told, *(PRIORS,) * self.model.priors.use_agent_pose_prior)
        for done, told in enumerate(more):
            progress(done, len(more), f"told {told} as well")
            table[told] = told_numbers(held_out, told)
        return table

    def _show(
        self, held_out: HeldOut, records: Sequence[Mapping[str, Any]], out_dir: Path
    ) -> list[dict[str, Any]]:
        """Keep the answers about some samples, from the best poses to the worst."""
        shown = []
        for index in shown_samples(records, self.settings.shown):
            (sample,) = held_out.ask([index])
            name = f"{SHOWN_FOLDER}/{index:06d}.npz"
            ensure_folder(out_dir / SHOWN_FOLDER)
            atomic_write_bytes(out_dir / name, packed(sample))
            shown.append({"index": index, "sample": sample.frame.sample_id, "file": name})
        return shown


def shown_samples(records: Sequence[Mapping[str, Any]], count: int) -> list[int]:
    """Return numbers of samples, evenly from the best poses to the worst.

    A sample without finite poses is none of them: there is nothing to draw.
    """
    said = [k for k, r in enumerate(records) if None not in r["pose"]["trans_m"]]
    errors = [float(np.mean(records[k]["pose"]["trans_m"] or [0.0])) for k in said]
    order = np.asarray(said, np.int64)[np.argsort(errors, kind="stable")]
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def packed(sample: JudgedSample) -> bytes:
    """Return an answer as the bytes of an npz: poses, ranges in metres, logits of the mask."""
    import io

    said, buffer = sample.prediction, io.BytesIO()
    arrays: dict[str, Any] = {
        "main_from_car": said.main_from_car,
        "main_from_view": said.main_from_view,
        "true_main_from_car": sample.truth.main_from_car,
        "range_m": said.range_m.astype(np.float32),
        "mask_logits": said.mask_logits.astype(np.float16),
        "scale": np.float64(said.scale),
    }
    if sample.blind is not None:
        arrays["blind_main_from_car"] = sample.blind
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def evaluating_stage(config: MulticarConfig) -> EvaluateStage:
    """Return the stage that a config asks for."""
    return EvaluateStage(
        name="evaluate",
        settings=config.evaluate,
        seed=config.seed,
        gates=gates_of(require_better=config.evaluate.require_better),
        num_gpus=1.0 if config.evaluate.device == "cuda" else 0.0,
        samples=config.samples.model_copy(update={"max_views_per_worker": None}),
        model=config.model,
        max_views_per_worker=config.samples.max_views_per_worker,
        inputs=(*view_stages(config), "train"),
    )


def _coverage(held_out: HeldOut) -> float:
    return float(np.mean([held_out.facts.coverage(m) for m in held_out.source.moments]))
