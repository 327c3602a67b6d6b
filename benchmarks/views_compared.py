"""Are n panoramas better than 4n pictures, or than pictures fused as features?

Reads the runs of configs/multicar/{n_views,four_n_views,feature_fusion}.yaml (or makes them with
`--run`; what was interrupted continues, what is finished is not made again) and draws how far
validation poses of *cars* are off, in metres, over the samples seen and over the CPU seconds spent.
Same samples, steps, model, tuning and tokens a car; whatever comes out is printed. CPU seconds are
steps times the CPU time of one step, which is measured here for the three in turn on one thread:
other work on the machine disturbs it least.

    python benchmarks/views_compared.py --run
    python benchmarks/views_compared.py --run train.steps=200 --out views.png

With `model.pose_head: matching` views are aligned with view 0 or through others. Of 4n pictures
most share nothing with the main car's front one, so that head is at home with panoramas and fused
features; `--run model.pose_head=pooled model.pose_hidden=192 loss.match_weight=20` is the published
head, which favours none (name another `--runs-dir` and `--out`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gimbal.experiment.run_finding import find
from gimbal.experiment.run_folder import RunFolder
from gimbal.training.metrics import METRICS_FILE, read_metrics
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.learning.fitting import shape_of

WAYS = {
    "n views": "n_views",
    "4n views": "four_n_views",
    "fused features": "feature_fusion",
}
COLOURS = {"n views": "#1f6feb", "4n views": "#d1622b", "fused features": "#2f9e6e"}
CONFIGS = Path(__file__).parents[1] / "configs" / "multicar"
ROUNDS = 3
HEADLINE = (
    "pose_trans_m", "pose_rot_deg", "depth_rel", "blind_m", "baseline_mean_pose_m",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Way:
    """One finished run.

    Attributes:
        name: Of the way.
        run: Its folder.
        config: Its config.
        samples: Samples seen at each validation.
        metres: Mean error of cars' positions there.
        blind_m: That of the blind twin at the end.
        headline: Of the held-out test; empty where it was not judged.
    """

    name: str
    run: RunFolder
    config: MulticarConfig
    samples: np.ndarray
    metres: np.ndarray
    blind_m: float
    headline: Mapping[str, Any]

    @property
    def tokens(self) -> int:
        """Tokens a car that the trunk sees."""
        patch, panorama = shape_of(self.config.model).patch, self.config.data.panorama
        if self.config.samples.views == "cameras":
            view = self.config.samples.camera_view
            return 4 * (view.width // patch) * (view.height // patch)
        return (panorama.width // patch) * (panorama.height // patch)


def make(name: str, runs_dir: Path, overrides: Sequence[str]) -> None:
    """Run one config; what it has finished before is used again."""
    command = [sys.executable, "-m", "gimbal.cli.main", "run", str(CONFIGS / f"{name}.yaml")]
    done = subprocess.run([*command, f"platform.runs_dir={runs_dir}", *overrides])
    if done.returncode:
        sys.exit(done.returncode)


def read(name: str, runs_dir: Path) -> Way:
    """Return the newest run of a way."""
    experiment = yaml.safe_load((CONFIGS / f"{WAYS[name]}.yaml").read_text())["experiment"]
    run = find(runs_dir, experiment)
    config = MulticarConfig.model_validate(yaml.safe_load(run.config_file.read_text()))
    assert config.train is not None
    lines = [
        (line["step"], line["values"])
        for line in read_metrics(run.stages / "train" / METRICS_FILE)
        if line["values"].get("val/pose_trans_m") is not None
    ]
    if not lines:
        raise SystemExit(f"{run.path} has no validation yet: run it with --run")
    judged = run.stages / "evaluate" / "evaluation.json"
    return Way(
        name=name,
        run=run,
        config=config,
        samples=np.array([step * config.train.global_batch for step, _ in lines]),
        metres=np.array([values["val/pose_trans_m"] for _, values in lines]),
        blind_m=float(lines[-1][1].get("val/blind_m", np.nan)),
        headline=json.loads(judged.read_text())["headline"] if judged.is_file() else {},
    )


def cpu_seconds(ways: Sequence[Way]) -> dict[str, float]:
    """Return CPU seconds of one training step of each way, the least of a few rounds in turn."""
    import torch

    torch.set_num_threads(1)
    steps = {way.name: _one_step(way) for way in ways}
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            before = time.process_time()
            step()
            spent[name].append(time.process_time() - before)
    return {name: min(values) for name, values in spent.items()}


def _one_step(way: Way) -> Any:
    import torch

    from gimbal_multicar.learning.batch import as_tensors
    from gimbal_multicar.learning.sources import open_source
    from gimbal_multicar.learning.task import CoopPlan, CoopTask

    config = way.config
    assert config.train is not None
    folders = {name: way.run.stages / name for name in ("panoramas", "cameras")}
    plan = CoopPlan(
        samples=config.samples, model=config.model, loss=config.loss, train=config.train,
        seed=config.seed,
    )  # fmt: skip
    task = CoopTask(
        plan, lambda split: open_source(folders, split, config.samples, training=split == "train")
    )
    module, groups = task.build()
    optimiser = torch.optim.AdamW(groups, lr=config.train.lr)
    source = task.source("train")
    indices = np.arange(config.train.global_batch) % len(source)

    def step() -> None:
        batch = as_tensors(source.fetch(indices))
        batch["sample_ids"] = torch.from_numpy(indices)
        terms = task.loss(module, batch, 0)
        weights = task.term_weights
        total = sum(
            weights.get(name, 1.0) * value / (len(indices) if count is None else count)
            for name, (value, count) in terms.items()
            if weights.get(name, 1.0) and (count is None or float(count))
        )
        optimiser.zero_grad()
        total.backward()
        optimiser.step()

    step()  # imports and allocations of the first are no cost of a step
    return step


def draw(path: Path, ways: Sequence[Way], step_s: Mapping[str, float]) -> None:
    """Write the learning curves as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.6, 3.6), dpi=120, sharey=True, layout="constrained"
    )
    for way in ways:
        assert way.config.train is not None
        cpu_s = way.samples / way.config.train.global_batch * step_s[way.name]
        for axes, across in ((left, way.samples), (right, cpu_s)):
            axes.plot(across, way.metres, color=COLOURS[way.name], label=way.name)
    levels = {"blind": np.nanmean([way.blind_m for way in ways])}
    means = [way.headline.get("baseline_mean_pose_m") for way in ways]
    known = [value for value in means if value is not None]
    if known:
        levels["mean pose (test)"] = float(np.mean(known))
    for axes in (left, right):
        for (name, level), style in zip(levels.items(), (":", "--"), strict=False):
            axes.axhline(level, color="#444", linewidth=0.8, linestyle=style, label=name)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    left.set(xlabel="samples seen", ylabel="error of cars' positions, validation [m]")
    right.set(xlabel="CPU seconds of training steps")
    left.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def table(ways: Sequence[Way], step_s: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the numbers of each way."""
    return [
        {
            "way": way.name,
            "tokens_per_car": way.tokens,
            "step_cpu_ms": round(1e3 * step_s[way.name], 1),
            "samples": int(way.samples[-1]),
            "val_best_m": round(float(way.metres.min()), 2),
            "val_last_m": round(float(way.metres[-1]), 2),
            **{
                name: round(float(way.headline[name]), 3)
                for name in HEADLINE
                if way.headline.get(name) is not None
            },
        }
        for way in ways
    ]


def show(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the numbers as Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [" | ".join(str(row.get(name, "-")) for name in names) for row in rows]
    head = [" | ".join(names), " | ".join("---" for _ in names)]
    return "\n".join(f"| {line} |" for line in (*head, *lines))


def main() -> None:
    """Make what is missing, if asked to; draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="make the runs first")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/views_compared.png"))
    parser.add_argument("overrides", nargs="*", help="KEY=VALUE, the same for all three")
    asked = parser.parse_args()
    if asked.overrides and not asked.run:
        parser.error("overrides are for --run")
    if asked.run:
        for name in WAYS.values():
            make(name, asked.runs_dir, asked.overrides)
    ways = [read(name, asked.runs_dir) for name in WAYS]
    step_s = cpu_seconds(ways)
    draw(asked.out, ways, step_s)
    rows = table(ways, step_s)
    print(show(rows))
    print(json.dumps({"ways": rows, "plot": str(asked.out)}))


if __name__ == "__main__":
    main()
