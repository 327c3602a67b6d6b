"""Get a run back: its commit in a worktree, its config, its data, a runs folder of its own.

Nothing is taken from finished stages, so every number is computed again. The libraries are those
installed here: they cannot be pinned from inside, so what differs is said before anything runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gimbal.errors import GateFailed, StageFailed, StaleCode
from gimbal.experiment.freshness import package_folders
from gimbal.experiment.run_finding import list_runs
from gimbal.experiment.run_folder import RunFolder
from gimbal.reproduction.numbers import DEFAULT_RTOL
from gimbal.reproduction.other_code import (
    OtherCode,
    require_same_code,
    require_same_files,
    require_same_workload,
)
from gimbal.reproduction.place import Place, claimed_place
from gimbal.reproduction.recomputing import library_drift, part_differences
from gimbal.reproduction.recorded_code import RecordedRepository, textual
from gimbal.reproduction.reproducible import Recipe, recipe_of
from gimbal.reproduction.results import (
    Comparison,
    RunNumbers,
    compare_numbers,
    numbers_of_run,
)
from gimbal.reproduction.stored_run import StoredRun, read_run
from gimbal.reproduction.worktree import checked_out

Saying = Callable[[str], None]
"""Called with one sentence for the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReproduceOptions:
    """How a run is reproduced.

    Attributes:
        check: Compare the numbers.
        rtol: Relative tolerance of the comparison.
        keep: Leave the worktree and the reproduced run.
    """

    check: bool = False
    rtol: float = DEFAULT_RTOL
    keep: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """What reproducing gave.

    Attributes:
        place: Its folder.
        run_dir: The reproduced run.
        code: The worktree; None: it is removed again.
        parts: Parts of stages' fingerprints that are not the run's, libraries left out.
        comparison: The numbers compared; None: not asked for.
        libraries: Libraries of other versions than the run's.
        removed: The folder is removed: the numbers agree, so it says nothing new.
    """

    place: Path
    run_dir: Path
    code: Path | None
    parts: tuple[str, ...]
    comparison: Comparison | None
    libraries: tuple[str, ...] = ()
    removed: bool = False

    @property
    def matches(self) -> bool:
        """Whether nothing that was compared differs."""
        return self.comparison is None or not self.comparison.differences


def reproduce(folder: RunFolder, options: ReproduceOptions, say: Saying) -> Reproduction:
    """Run a stored run again, with its code, config and data.

    Args:
        folder: The run.
        options: What to do with the result.
        say: Told what happens.

    Raises:
        CannotTell: The records or the code that it needs are missing or damaged.
        Drift: An outside file is not what the run read.
        StageFailed: The reproduced run failed.
        GimbalError: The same run is being reproduced already, or a folder cannot be written.
    """
    recipe = recipe_of(folder)
    recorded = numbers_of_run(recipe.run)
    libraries = tuple(library_drift(recipe.run))
    for words in libraries:
        say(f"{words}: versions cannot be set from here, and numbers may differ for it")
    with claimed_place(recipe.runs_dir, folder) as place:
        if place.continued:
            say(f"continuing in {place.path}")
        try:
            with _trees(recipe, place, options, say) as trees:
                missed = _run_again(recipe, place, trees, say)
        finally:
            if not options.keep and not list_runs(place.runs):
                place.discard()  # nothing was begun that could be continued
        again = read_run(list_runs(place.runs)[0].folder)
        if missed and not options.check:
            raise GateFailed(f"{again.folder.path} missed a gate that the run met", "see above")
        result = _result(recipe.run, again, place, options, recorded)
        place.end(ended=True)
        if result.removed:
            place.discard()
        return replace(result, libraries=libraries)


def _result(
    run: StoredRun, again: StoredRun, place: Place, options: ReproduceOptions, recorded: RunNumbers
) -> Reproduction:
    comparison = None
    if options.check:
        comparison = compare_numbers(recorded, numbers_of_run(again), options.rtol)
    matches = comparison is not None and not comparison.differences
    return Reproduction(
        place=place.path,
        run_dir=again.folder.path,
        code=place.code if options.keep else None,
        parts=tuple(_parts(run, again)),
        comparison=comparison,
        removed=matches and not options.keep,
    )


def _parts(run: StoredRun, again: StoredRun) -> Iterator[str]:
    """Yield how the fingerprints' parts differ, libraries and inputs (a forced rerun) left out."""
    for name, stage in run.stages.items():
        other = again.stages.get(name)
        if stage.record is None or other is None or other.record is None:
            continue
        old, new = (
            {key: part for key, part in record.parts.items() if key not in ("inputs", "libraries")}
            for record in (stage.record, other.record)
        )
        yield from (f"{name}: {words}" for words in part_differences(old, new))


@contextlib.contextmanager
def _trees(
    recipe: Recipe, place: Place, options: ReproduceOptions, say: Saying
) -> Iterator[tuple[Path, ...]]:
    """Check out every repository of the run's code."""
    with contextlib.ExitStack() as stack:
        trees = []
        for number, repository in enumerate(recipe.code.repositories, start=1):
            tree = place.code if number == 1 else place.path / f"code-{number}"
            for name in textual(repository.diff)[1]:
                say(f"{name} is a binary file with uncommitted changes, which are not recorded")
            checkout = checked_out(repository, tree, _nearby(repository), keep=options.keep)
            trees.append(stack.enter_context(checkout))
            dirty = " with its uncommitted changes" if repository.diff else ""
            say(f"checked out {repository.commit[:12]}{dirty} in {tree}")
        yield tuple(trees)


def _nearby(repository: RecordedRepository) -> list[Path]:
    """Return folders whose repository may hold the commit as well."""
    found = [Path.cwd()]
    for name in repository.packages:
        with contextlib.suppress(StaleCode):
            place = package_folders((name,))[name]
            found.insert(0, place if place.is_dir() else place.parent)
    return found


def _run_again(recipe: Recipe, place: Place, trees: tuple[Path, ...], say: Saying) -> bool:
    """Run the config with the checked-out code; return whether it missed a gate."""
    code = OtherCode(recorded=recipe.code, trees=trees, folder=recipe.folder)
    config = recipe.run.folder.config_file.absolute()
    overrides = recipe.overrides(place.runs)
    answer = code.probe(config, overrides)
    require_same_code(answer, recipe.code)
    require_same_workload(answer, recipe.run.workload_class)
    require_same_files(answer, recipe.outside_files)
    say("the code, the config and the outside files are those of the run")
    arguments = ["run", str(config), *overrides, *recipe.options()]
    status = code.run(arguments, place.note_child)
    if status not in (0, GateFailed.exit_code):
        raise StageFailed(
            f"the reproduced run ended with status {status}; it is in {place.runs}",
            "mend what it says above, then run the same command again: it continues",
        )
    if not list_runs(place.runs):
        raise StageFailed(
            f"the recorded code left no run in {place.runs}", "look at it with --keep"
        )
    return status != 0
