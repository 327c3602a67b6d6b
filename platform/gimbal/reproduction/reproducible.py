"""What a run must have left behind to be run again, and what it is run again with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gimbal.errors import CannotTell
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.yaml_reading import read_yaml
from gimbal.reproduction.recorded_code import RecordedCode, recorded_code
from gimbal.reproduction.stored_run import (
    StoredRun,
    makers_of_given,
    read_run,
    start_folder,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that running a run again takes.

    Attributes:
        run: The run.
        code: Its code.
        folder: Where to start, so that relative paths mean what they meant.
    """

    run: StoredRun
    code: RecordedCode
    folder: Path

    @property
    def runs_dir(self) -> Path:
        """The runs folder that the run lies in."""
        return self.run.folder.path.absolute().parents[1]

    @property
    def outside_files(self) -> Mapping[str, Sequence[str]]:
        """Content hashes of the outside files that each stage read."""
        return {
            stage.name: stage.record.parts.get("files", [])
            for stage in self.run.stages.values()
            if stage.record is not None
        }

    def overrides(self, runs_dir: Path) -> list[str]:
        """Return what is changed in the config: where the run is kept, and nothing else."""
        data = read_yaml(self.run.folder.config_file).data
        of_a_sweep = isinstance(data, Mapping) and data.get("sweep") is not None
        return [
            f"platform.runs_dir={runs_dir}",
            "platform.tracking.enabled=false",
            *(["sweep=null"] if of_a_sweep else []),
        ]

    def options(self) -> list[str]:
        """Return the recorded option that left stages out, if there was one."""
        words = self.run.state.command if self.run.state else []
        for place, word in enumerate(words):
            if word.startswith("--stage="):
                return [word]
            if word == "--stage" and place + 1 < len(words):
                return [word, words[place + 1]]
        return []


def recipe_of(folder: RunFolder) -> Recipe:
    """Return what running a run again takes.

    Raises:
        CannotTell: The run is not finished, its records are not whole, it read stages of another
            run, or git cannot give its code back.
    """
    run = read_run(folder)
    if run.problems or run.provenance is None:
        stage, words = run.problems[0]
        raise CannotTell(
            f"run {folder.id} cannot be reproduced: {f'{stage}: ' if stage else ''}{words}",
            "only a finished run with whole records can; `gimbal verify` names all that is wrong",
        )
    if run.given:
        makers = makers_of_given(run) or "its command names it"
        raise CannotTell(
            f"run {folder.id} read {', '.join(run.given)} from another run, by a command of its "
            "workload's own",
            f"reproduce the run that made them ({makers}), then give that command again",
        )
    start = start_folder(run) or Path.cwd()
    return Recipe(run=run, code=recorded_code(run.provenance), folder=start)
