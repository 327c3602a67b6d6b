"""What a job is admitted with once it was measured: what ran on a card fits there again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from controller_lab import Lab
from controller_lab import spec as lab_spec
from dict_store import DictJobStore
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.jobs.attempt_files import attempt_folder, write_grant
from gimbal.jobs.controller.controller import Controller
from gimbal.jobs.model import Attempt, AttemptPhase, Job, JobSpec, JobState
from gimbal.jobs.queue_view import Rooms, needed_bytes
from gimbal.scheduling.model import (
    Condition,
    Gpu,
    GpuUuid,
    JobId,
    NodeName,
    Place,
    Request,
    Snapshot,
)
from gimbal.scheduling.policy import decide
from gimbal.scheduling.settings import PolicySettings
from gimbal.serving.settings import ServeSettings

MIB, GIB = 1 << 20, 1 << 30
SMALL, LARGE = int(23.6 * GIB), int(47.5 * GIB)
MARGIN = 1.05
POLICY = PolicySettings()


def card(
    number: int, foreign: int = 0, total: int = SMALL, condition: Condition = Condition.FREE
) -> Gpu:
    return Gpu(
        uuid=GpuUuid(f"GPU-{number}"),
        node=NodeName("lab"),
        index=number,
        name=f"card of {total}",
        total_bytes=total,
        condition=condition,
        foreign_bytes=foreign,
    )


def spec(stated: int | None = None, share: float = 1.0) -> JobSpec:
    return JobSpec(
        workload="toy",
        experiment="lab",
        config={},
        user="ann",
        gpus=1,
        share=share,
        memory_bytes=stated,
    )


def need(peak: int, *gpus: Gpu, stated: int | None = None, share: float = 1.0) -> int | None:
    return needed_bytes(spec(stated, share), peak, MARGIN, Rooms(gpus, POLICY))


def placed(need: int | None, *gpus: Gpu, share: float = 1.0) -> str | None:
    """Return the card a job is given, if it is given one."""
    request = Request(
        job_id=JobId("j"), user="ann", submitted_at=0, gpus=1, share=share, memory_bytes=need
    )
    (decision,) = decide(Snapshot(gpus=gpus, queue=(request,)), now=10.0, settings=POLICY)
    return decision.grants[0].uuid if isinstance(decision, Place) else None


@pytest.mark.parametrize("peak", [22 * GIB, SMALL - 300 * MIB, SMALL - MIB, SMALL, SMALL + MIB])
@pytest.mark.parametrize(
    "foreign", [0, 4 * MIB, 300 * MIB, 511 * MIB, 512 * MIB, 550 * MIB, 812 * MIB]
)
@pytest.mark.parametrize("stated", [None, 8 * GIB])
def test_a_job_that_filled_its_card_is_admitted_there_again(
    peak: int, foreign: int, stated: int | None
) -> None:
    gpu = card(0, foreign)
    assert placed(need(peak, gpu, stated=stated), gpu) == "GPU-0"


def test_the_margin_is_asked_for_where_there_is_room_for_it() -> None:
    assert need(10 * GIB, card(0, 4 * MIB)) == int(10 * GIB * MARGIN)
    assert need(0, card(0)) is None
    assert need(0, card(0), stated=GIB) == GIB
    assert need(10 * GIB, card(0), stated=12 * GIB) == 12 * GIB


def test_what_is_stated_is_asked_for_in_any_case() -> None:
    gpu = card(0, 300 * MIB)
    assert placed(need(22 * GIB, gpu, stated=SMALL), gpu) is None


def test_a_card_that_covers_the_peak_is_not_passed_over_for_a_cleaner_one() -> None:
    desktop, busy = card(0, 300 * MIB), card(1, condition=Condition.OURS)
    assert placed(need(SMALL - 301 * MIB, desktop, busy), desktop, busy) == "GPU-0"


def test_a_card_that_cannot_cover_the_peak_is_passed_over_while_another_can() -> None:
    desktop, clean = card(0, 300 * MIB), card(1)
    assert placed(need(SMALL - 200 * MIB, desktop, clean), desktop, clean) == "GPU-1"
    assert placed(need(SMALL - 200 * MIB, desktop, card(1, 4 * MIB)), desktop, clean) == "GPU-1"


@pytest.mark.parametrize("condition", [Condition.FOREIGN, Condition.COOLING, Condition.HELD])
def test_a_card_that_is_not_to_be_had_does_not_say_what_there_is(condition: Condition) -> None:
    clean, taken = card(0, 300 * MIB), card(1, condition=condition)
    assert placed(need(SMALL, clean, taken), clean, taken) == "GPU-0"
    assert need(SMALL, taken) == SMALL, "waits for it, and is not said never to fit"


def test_kinds_of_cards_are_told_apart() -> None:
    """A small card's peak is none of a large one; a large one's does not come down to a small."""
    small, large = card(0, 4 * MIB), card(1, 4 * MIB, LARGE)
    assert placed(need(SMALL - 5 * MIB, small, large), small, large) == "GPU-0"
    assert placed(need(40 * GIB, small, large), small, large) == "GPU-1"
    gone = card(1, 14 * GIB, LARGE, Condition.FOREIGN)
    assert placed(need(40 * GIB, small, gone), small, gone) is None
    assert need(40 * GIB, small) == int(40 * GIB * MARGIN), "its kind has left the cluster"


@pytest.mark.parametrize("foreign", [0, 4 * MIB, 300 * MIB])
def test_a_share_that_grew_to_its_card_is_admitted_again(foreign: int) -> None:
    gpu = card(0, foreign)
    wanted = need(SMALL - GIB, gpu, stated=8 * GIB, share=0.5)
    assert placed(wanted, gpu, share=0.5) == "GPU-0"


FOREIGN = st.integers(0, 812).map(lambda count: count * MIB)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, SMALL),
    st.lists(st.tuples(FOREIGN, st.sampled_from([SMALL, LARGE])), min_size=1, max_size=5),
)
def test_an_idle_cluster_never_keeps_a_measured_job_waiting(
    peak: int, cards: list[tuple[int, int]]
) -> None:
    """Whatever neighbours below the thresholds do, and whatever was measured on its cards."""
    gpus = tuple(card(i, foreign, total) for i, (foreign, total) in enumerate(cards))
    assert placed(need(peak, *gpus), *gpus)


@pytest.mark.parametrize(
    ("usual", "seen", "written"),
    [(None, 550, None), (812, 4, 812), (812, 1130, 1130), (812, None, 812)],
)
def test_workers_are_told_what_their_card_was_granted_with(
    tmp_path: Path, usual: int | None, seen: int | None, written: int | None
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    cards = () if seen is None else ({"uuid": "GPU-0", "foreign_bytes": seen},)
    attempt = Attempt(
        number=1,
        phase=AttemptPhase.INTENDED,
        submission_id="j-1",
        granted_at=at,
        gpus_at_launch=cards,
    )
    job = Job(id=JobId("j"), spec=spec(), state=JobState.PENDING, submitted_at=at)
    folder = attempt_folder(tmp_path, job.id, 1)
    write_grant(folder, job, attempt, (), usual)
    granted = folder.grant()
    assert granted is not None
    assert granted.tolerated_bytes == written


def test_the_trifle_is_what_makes_a_card_foreign() -> None:
    defaults = ServeSettings()
    assert defaults.policy.trifle_bytes == defaults.gpus.foreign_threshold
    assert defaults.gpus.tolerated_bytes == 812 * MIB


def test_a_controller_tells_workers_what_its_warden_tolerates(tmp_path: Path) -> None:
    lab = Lab(DictJobStore(), tmp_path)
    lab.controller = Controller(
        store=lab.store,
        launcher=lab.launcher,
        warden=lab.warden,
        clock=lab.clock,
        runs_dir=tmp_path,
        tolerated_bytes=7 * GIB,
    )
    job = lab.submit(lab_spec(1, work_s=5))
    lab.tick()
    granted = attempt_folder(tmp_path, job, 1).grant()
    assert granted is not None
    assert (len(granted.gpus), granted.tolerated_bytes) == (1, 7 * GIB)
