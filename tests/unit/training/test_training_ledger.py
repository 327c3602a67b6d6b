"""The ledger of checkpoints: sound for real trainings, and every corruption of it is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training_toys import Job, Toy, train_alone, train_together

from gimbal.experiment.attempt import Preempted
from gimbal.training import checkpoints, keeping, ledger_lines
from gimbal.training.ledger import check
from gimbal.training.ledger_lines import LEDGER_FILE, Begun, Ledger, Saved, Worker, read_ledger
from gimbal.training.schedule import rate_factor
from gimbal.training.settings import TrainSettings

SETTINGS = TrainSettings(
    steps=24, global_batch=10, lr=1e-2, warmup_steps=4, checkpoint_every=5, log_every=1
)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LEDGER_FILE).read_text().splitlines()]


def steps_of(folder: Path) -> list[tuple[str, int, int]]:
    return [(line["event"], line["attempt"], line["step"]) for line in lines_of(folder)]


# --- real trainings -------------------------------------------------------------------------------


def test_a_training_left_and_resumed_on_other_world_sizes_has_a_sound_ledger(
    tmp_path: Path,
) -> None:
    """One worker, then two, then one, with a checkpoint damaged on the way."""
    job = Job(Toy(), SETTINGS, tmp_path / "run", leave_at=7)
    with pytest.raises(Preempted):
        train_alone(job)
    assert check(job.out_dir) == []
    train_together(2, [replace(job, leave_at=13)], tmp_path / "meeting")
    assert check(job.out_dir) == []
    state = checkpoints.listed(job.out_dir)[-1].path / "state.pt"
    state.write_bytes(state.read_bytes()[:-9])
    train_alone(replace(job, leave_at=-1))
    assert check(job.out_dir) == []
    assert steps_of(job.out_dir) == [
        ("start", 1, 0),
        ("saved", 1, 5),
        ("saved", 1, 8),
        ("resume", 2, 8),
        ("saved", 2, 10),
        ("saved", 2, 14),
        ("resume", 3, 10),
        ("saved", 3, 15),
        ("saved", 3, 20),
        ("saved", 3, 24),
    ]
    begun = [line for line in lines_of(job.out_dir) if line["event"] != "saved"]
    assert [len(line["workers"]) for line in begun] == [1, 2, 1]
    assert all(worker["gpus"] == [] for line in begun for worker in line["workers"])
    assert "damaged" in begun[2]["set_aside"][0]
    assert lines_of(job.out_dir)[1]["lr"].keys() == {"first", "last"}


def test_a_kill_between_a_checkpoint_and_its_line_is_told_by_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(Toy(), SETTINGS, tmp_path / "run")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(keeping.Keeper, "_note", killed)
        train_alone(job)
    assert steps_of(job.out_dir) == [("start", 1, 0)]
    assert check(job.out_dir) == [], "the next attempt tells it"
    train_alone(job)
    assert steps_of(job.out_dir)[1:3] == [("saved", 1, 5), ("resume", 2, 5)]
    assert lines_of(job.out_dir)[1]["late"]
    assert check(job.out_dir) == []


def test_a_training_older_than_ledgers_is_taken_up_and_told_from_there(tmp_path: Path) -> None:
    job = Job(Toy(), SETTINGS, tmp_path / "run", leave_at=7)
    with pytest.raises(Preempted):
        train_alone(job)
    (job.out_dir / LEDGER_FILE).unlink()
    assert "missing" in check(job.out_dir)[0]
    train_alone(replace(job, leave_at=-1))
    assert steps_of(job.out_dir)[:2] == [("saved", 0, 8), ("resume", 1, 8)]
    assert check(job.out_dir) == []


def test_a_longer_run_at_a_constant_rate_goes_on_soundly(tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"schedule": "constant", "steps": 8})
    job = Job(Toy(), short, tmp_path / "run")
    train_alone(job)
    train_alone(replace(job, settings=short.model_copy(update={"steps": 16})))
    assert check(job.out_dir) == []


@pytest.mark.parametrize("harm", ["removed", "replaced", "forged card", "edited metrics"])
def test_files_that_disagree_with_the_ledger_are_found(tmp_path: Path, harm: str) -> None:
    job = Job(Toy(), SETTINGS, tmp_path / "run")
    (job.out_dir / "training.json").write_text(json.dumps(train_alone(job)))
    assert check(job.out_dir) == []
    card = checkpoints.listed(job.out_dir)[-1].path / "checkpoint.json"
    if harm == "removed":
        text = (job.out_dir / LEDGER_FILE).read_text().splitlines(keepends=True)
        (job.out_dir / LEDGER_FILE).write_text("".join(text[:-1]))
        expected = "ended at step 24, which was never saved"
    elif harm == "replaced":
        card.write_text(card.read_text().replace('"sha256": "', '"sha256": "0'))
        expected = "sha256 of step-00000024"
    elif harm == "forged card":
        card.write_text(card.read_text().replace('"samples_seen": 240', '"samples_seen": 250'))
        expected = "samples_seen of step-00000024 is 250"
    else:
        metrics = job.out_dir / "metrics.jsonl"
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        next(line for line in lines if line["step"] == 9)["values"]["lr/last"] *= 1.01
        metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
        expected = "metrics.jsonl: the rate of last at step 9"
    assert any(expected in problem for problem in check(job.out_dir)), check(job.out_dir)


# --- synthetic ledgers ----------------------------------------------------------------------------


def digest(step: int, attempt: int) -> str:
    return f"{step:032x}{attempt:032x}"


def synthetic(folder: Path, attempts: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Write a sound ledger; each attempt has workers and a number of saves two steps apart."""
    book, step, saved_by = Ledger(folder), 0, 0
    peaks = {"body": 1e-2, "head": 3e-3}
    plan = TrainSettings(steps=200, global_batch=6, warmup_steps=9)
    dumped = plan.model_dump(mode="json")
    for number, (workers, saves) in enumerate(attempts, start=1):
        book.append(
            Begun(
                event="resume" if step else "start",
                attempt=number,
                step=step,
                sha256=digest(step, saved_by) if step else None,
                seed=4,
                global_batch=plan.global_batch,
                identity="ab" * 32,
                schedule={name: dumped[name] for name in ledger_lines.SCHEDULE_KEYS},
                peaks=peaks,
                workers=[Worker(rank=r, host="a", device="cpu") for r in range(workers)],
                asked_at=1.0,
                at=2.0,
            )
        )
        for _ in range(saves):
            step, saved_by = step + 2, number
            factor = rate_factor(plan, step - 1)
            book.append(
                Saved(
                    attempt=number,
                    step=step,
                    sha256=digest(step, number),
                    bytes=99,
                    samples_seen=6 * step,
                    global_batch=6,
                    seed=4,
                    world_size=workers,
                    lr={name: peak * factor for name, peak in peaks.items()},
                    at=3.0,
                )
            )
    return lines_of(folder)


def rewrite(folder: Path, lines: list[dict[str, Any]], *, forged: bool) -> None:
    """Write lines back; a forger also makes the chain of hashes fit."""
    chain, texts = "", []
    for line in lines:
        content = {key: value for key, value in line.items() if key != "chain"}
        chain = ledger_lines._link(chain, content) if forged else line["chain"]
        texts.append(json.dumps({**content, "chain": chain}) + "\n")
    (folder / LEDGER_FILE).write_text("".join(texts))


several = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=4)
no_fixture_reset = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@no_fixture_reset
@given(attempts=several)
def test_every_sound_ledger_is_sound(
    tmp_path_factory: Any, attempts: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("sound")
    synthetic(folder, attempts)
    assert check(folder) == []


def changed(value: Any) -> Any:
    """Return another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 1.0001
        case None:
            return "cd" * 32
        case str():
            return value[:-1] + ("0" if value[-1:] != "0" else "1")
        case list():
            return value[1:] if value else ["other"]
        case dict():
            first = next(iter(value))
            return {**value, first: changed(value[first])}
    raise AssertionError(value)


@no_fixture_reset
@given(attempts=several, data=st.data())
def test_any_field_that_is_edited_breaks_the_chain(
    tmp_path_factory: Any, attempts: list[tuple[int, int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("edited")
    lines = synthetic(folder, attempts)
    line = data.draw(st.sampled_from(lines))
    key = data.draw(st.sampled_from(sorted(line)))
    line[key] = changed(line[key])
    rewrite(folder, lines, forged=False)
    assert check(folder) != [], key


FREE = {"at", "asked_at", "set_aside", "late", "bytes", "chain"}
"""Fields that nothing else tells; the chain alone guards them."""


@no_fixture_reset
@given(attempts=several, data=st.data())
def test_an_edit_that_forges_the_chain_is_found_by_what_it_says(
    tmp_path_factory: Any, attempts: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Whatever is edited contradicts another line, where there is another to contradict."""
    folder = tmp_path_factory.mktemp("forged")
    attempts = [(workers, saves + 1) for workers, saves in [*attempts, (2, 1)]]
    lines = synthetic(folder, attempts)
    number = data.draw(st.integers(0, len(lines) - 1))
    line = lines[number]
    key = data.draw(st.sampled_from(sorted(set(line) - FREE)))
    if key == "sha256" and line["event"] == "saved":
        following = lines[number + 1] if number + 1 < len(lines) else None
        if following is None or following["event"] != "resume":
            return  # only the checkpoint itself, long retired, could tell
    line[key] = changed(line[key])
    rewrite(folder, lines, forged=True)
    assert check(folder) != [], (number, key)


@no_fixture_reset
@given(attempts=several, data=st.data())
def test_a_line_that_is_lost_doubled_or_moved_is_found(
    tmp_path_factory: Any, attempts: list[tuple[int, int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    lines = synthetic(folder, [*attempts, (1, 2)])
    number = data.draw(st.integers(0, len(lines) - 2))
    how: Callable[[], list[dict[str, Any]]] = data.draw(
        st.sampled_from(
            [
                lambda: lines[:number] + lines[number + 1 :],
                lambda: lines[: number + 1] + lines[number:],
                lambda: [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]],
            ]
        )
    )
    rewrite(folder, how(), forged=False)
    assert check(folder) != []


@no_fixture_reset
@given(cut=st.integers(1, 200))
def test_a_torn_last_line_is_no_problem_and_is_cut_by_the_next_writer(
    tmp_path_factory: Any, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    synthetic(folder, [(1, 2), (2, 1)])
    path = folder / LEDGER_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert check(folder) == []
    kept = read_ledger(folder)
    assert kept is not None
    Ledger(folder)
    assert path.read_bytes() == kept.whole
    assert whole.startswith(kept.whole)


def test_a_torn_line_in_the_middle_is_a_problem(tmp_path: Path) -> None:
    synthetic(tmp_path, [(1, 2)])
    path = tmp_path / LEDGER_FILE
    first, second, rest = path.read_text().split("\n", 2)
    path.write_text("\n".join([first, second[:40], rest]))
    assert any("line 2 is damaged" in problem for problem in check(tmp_path))


def test_two_trainings_that_write_at_once_are_found(tmp_path: Path) -> None:
    """Such as one that was believed dead on a node that only lost its network."""
    synthetic(tmp_path, [(1, 1)])
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    reading = read_ledger(tmp_path)
    assert reading is not None
    saved = reading.entries[-1][1]
    assert isinstance(saved, Saved)
    for book, step in ((one, 4), (other, 6)):
        factor = rate_factor(TrainSettings(steps=200, global_batch=6, warmup_steps=9), step - 1)
        rates = {"body": 1e-2 * factor, "head": 3e-3 * factor}
        update = {"step": step, "samples_seen": 6 * step, "lr": rates}
        book.append(saved.model_copy(update=update))
    assert check(tmp_path) == [
        "ledger.jsonl line 4 does not follow from the line before it, or was edited"
    ]
