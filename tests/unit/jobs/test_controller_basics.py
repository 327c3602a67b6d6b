"""What the controller does with a job, one behaviour at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml
from controller_lab import GIB, Lab, quick_files, spec
from dict_store import DictJobStore

from gimbal.experiment.attempt import OutcomeFile, WorkerFile
from gimbal.jobs.attempt_files import attempt_folder, config_path
from gimbal.jobs.model import AttemptPhase, Hold, JobState, Quarantine, StopWhy
from gimbal.jobs.ports import LaunchStatus, LaunchUnavailable, ReserveFailed
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import GpuUuid, WaitReason


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with quick_files():
        yield Lab(DictJobStore(), tmp_path)


def test_a_job_runs_on_the_cards_it_was_given_and_succeeds(lab: Lab) -> None:
    job = lab.submit(spec(2, work_s=5))
    lab.tick()
    running = lab.job(job)
    assert running.state is JobState.RUNNING
    attempt = running.attempts[0]
    assert attempt.phase is AttemptPhase.RUNNING
    assert [card["uuid"] for card in attempt.gpus_at_launch] == [g.uuid for g in attempt.grants]
    lab.run(10)
    done = lab.job(job)
    assert done.state is JobState.SUCCEEDED
    assert set(done.attempts[0].used) == {grant.uuid for grant in attempt.grants}
    assert done.attempts[0].exit_code == 0
    assert done.attempts[0].run_dir
    lab.check_done()


def test_the_config_and_the_grant_say_where_the_job_runs(lab: Lab) -> None:
    job = lab.submit(spec(2, memory=4 * GIB))
    lab.tick()
    config = yaml.safe_load(config_path(lab.runs_dir, job).read_text())
    assert config["resources"] == {"workers": 2, "gpus_per_worker": 1.0, "gpu_memory": 4 * GIB}
    assert config["platform"]["runs_dir"] == str(lab.runs_dir.absolute())
    assert config["platform"]["ray"] == {"address": None}
    grant = attempt_folder(lab.runs_dir, job, 1).grant()
    assert grant is not None
    assert grant.reservation == f"gimbal-job:{lab.job(job).attempts[0].submission_id}"
    assert [gpu.bundle for gpu in grant.gpus] == [0, 1]
    assert grant.memory_bytes == 4 * GIB


def test_a_job_without_gpus_gets_none_and_reserves_none(lab: Lab) -> None:
    job = lab.submit(spec(0, work_s=3))
    lab.tick()
    config = yaml.safe_load(config_path(lab.runs_dir, job).read_text())
    assert config["resources"]["gpus_per_worker"] == 0
    assert not lab.warden.held
    lab.run(10)
    assert lab.job(job).state is JobState.SUCCEEDED


def test_a_foreign_card_is_named_as_the_reason_and_used_once_it_is_clean(lab: Lab) -> None:
    for uuid in lab.warden.cards:
        lab.warden.arrive(uuid, 14 * GIB)
    job = lab.submit(spec(1, work_s=2))
    lab.tick()
    assert lab.job(job).reason == WaitReason.GPU_FOREIGN
    assert not lab.job(job).attempts
    lab.warden.leave(GpuUuid("GPU-0-2"))
    lab.tick()
    assert lab.job(job).reason == WaitReason.GPU_COOLING
    lab.run(40)
    assert lab.job(job).attempts[0].grants[0].uuid == "GPU-0-2"
    lab.check_done()


def test_a_neighbour_costs_no_retry_and_the_job_goes_elsewhere(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=30))
    lab.tick()
    first = lab.job(job).attempts[0].grants[0].uuid
    lab.warden.arrive(first, 20 * GIB)
    lab.run(60)
    done = lab.job(job)
    assert done.state is JobState.SUCCEEDED
    assert [attempt.failure for attempt in done.attempts] == [FailureClass.CONTENTION, None]
    assert done.attempts[1].grants[0].uuid != first
    assert done.attempts[0].gpus_at_end[0]["condition"] == "foreign"
    assert first in done.avoid


def test_a_bug_of_the_user_is_not_tried_again(lab: Lab) -> None:
    job = lab.submit(
        spec(1, work_s=2, exit_code=3, error_type="builtins.ZeroDivisionError", text="by zero")
    )
    lab.run(20)
    failed = lab.job(job)
    assert failed.state is JobState.FAILED
    assert failed.reason == FailureClass.USER_CODE
    assert len(failed.attempts) == 1
    assert lab.controller.stats.failures[FailureClass.USER_CODE] == 1
    assert not lab.controller.stats.retries


def test_a_cancelled_job_may_leave_by_itself(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=100, leaves_after_s=2.0))
    lab.tick()
    lab.store.request_cancel(job, now=lab.clock.now())
    lab.run(8)
    stopped = lab.job(job)
    assert stopped.state is JobState.STOPPED
    assert stopped.attempts[0].stop_why is StopWhy.CANCEL
    assert stopped.attempts[0].exit_code == 75
    lab.check_done()


def test_a_cancelled_job_that_does_not_heed_is_stopped(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=1000, leaves_after_s=None))
    lab.tick()
    lab.store.request_cancel(job, now=lab.clock.now())
    lab.run(9)
    assert lab.job(job).state is JobState.RUNNING, "the grace has not passed"
    lab.run(8)
    assert lab.job(job).state is JobState.STOPPED
    lab.check_done()


def test_a_cancel_between_intention_and_launch_undoes_it(lab: Lab) -> None:
    job = lab.submit(spec(1))
    with patch.object(lab.warden, "reserve", side_effect=LaunchUnavailable("away")):
        lab.tick()
    assert lab.job(job).attempts[0].phase is AttemptPhase.INTENDED
    lab.store.request_cancel(job, now=lab.clock.now())
    lab.tick()
    assert lab.job(job).state is JobState.STOPPED
    assert not lab.launcher.runs
    lab.check_done()


def test_a_card_lost_between_intention_and_launch_is_not_started_on(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=3))
    with patch.object(lab.launcher, "launch", side_effect=LaunchUnavailable("away")):
        lab.tick()
    first = lab.job(job).attempts[0]
    assert first.phase is AttemptPhase.LAUNCHING
    lab.warden.arrive(first.grants[0].uuid, 14 * GIB)
    lab.run(30)
    assert lab.job(job).attempts[0].failure is FailureClass.CONTENTION
    assert lab.job(job).attempts[1].grants[0].uuid != first.grants[0].uuid
    assert lab.launcher.runs[job] == 1
    lab.check_done()


def test_cards_that_cannot_be_reserved_cost_no_retry(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=3))
    with patch.object(lab.warden, "reserve", side_effect=ReserveFailed("a stranger was faster")):
        lab.tick()
    waiting = lab.job(job)
    assert waiting.state is JobState.PENDING
    assert waiting.reason == FailureClass.CONTENTION
    assert "a stranger was faster" in waiting.detail
    lab.run(30)
    assert lab.job(job).state is JobState.SUCCEEDED


def test_a_more_important_job_makes_room_and_the_other_resumes(lab: Lab) -> None:
    low = lab.submit(spec(4, work_s=60))
    lab.run(12)
    high = lab.submit(spec(2, work_s=5, priority=5, user="eve"))
    lab.run(120)
    assert lab.job(high).state is JobState.SUCCEEDED
    assert lab.job(high).ended_at < lab.job(low).ended_at
    first = lab.job(low).attempts[0]
    assert first.failure is FailureClass.PREEMPTED
    assert first.exit_code == 75
    assert lab.job(low).state is JobState.SUCCEEDED
    lab.check_done()


def test_a_preempted_job_that_does_not_leave_is_stopped_and_not_blamed(lab: Lab) -> None:
    low = lab.submit(spec(4, work_s=500, leaves_after_s=None))
    lab.run(12)
    high = lab.submit(spec(4, work_s=5, priority=5))
    lab.run(100)
    assert lab.job(low).state is JobState.RUNNING, "its deadline has not passed"
    lab.run(60)
    assert lab.job(high).attempts
    assert lab.job(low).attempts[0].failure is FailureClass.PREEMPTED
    lab.run(800)
    lab.check_done()


def test_ray_that_does_not_answer_fails_nobody(lab: Lab) -> None:
    running, waiting = lab.submit(spec(4, work_s=10)), None
    lab.tick()
    waiting = lab.submit(spec(1, work_s=5))
    lab.launcher.unavailable = lab.warden.unavailable = True
    for _ in range(60):
        assert lab.tick().unavailable
    assert lab.job(running).state is JobState.RUNNING
    assert "Ray does not answer" in lab.job(waiting).detail
    lab.launcher.unavailable = lab.warden.unavailable = False
    lab.run(30)
    assert {lab.job(running).state, lab.job(waiting).state} == {JobState.SUCCEEDED}
    assert len(lab.job(running).attempts) == 1


def test_a_lost_answer_to_a_launch_does_not_start_it_twice(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=5))
    lab.launcher.answers_lost = 1
    assert lab.tick().unavailable
    assert lab.job(job).attempts[0].phase is AttemptPhase.LAUNCHING
    lab.run(12)
    assert lab.job(job).state is JobState.SUCCEEDED
    assert lab.launcher.runs[job] == 1


def test_one_empty_answer_of_ray_loses_no_job(lab: Lab) -> None:
    """A head that is starting answers before it has read its tables."""
    job = lab.submit(spec(1, work_s=20))
    lab.tick()
    known = lab.launcher._memory.known
    lab.launcher._memory.known = {}
    lab.tick()
    lab.tick()
    lab.launcher._memory.known = known
    lab.run(30)
    assert lab.job(job).state is JobState.SUCCEEDED
    assert len(lab.job(job).attempts) == 1


def test_a_head_that_lost_its_memory_costs_no_retry(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=20))
    lab.run(5)
    lab.launcher.lose_memory()
    lab.run(60)
    done = lab.job(job)
    assert [attempt.failure for attempt in done.attempts] == [FailureClass.INFRA, None]
    assert done.state is JobState.SUCCEEDED


def test_a_job_that_had_finished_when_the_head_died_is_not_run_again(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=5))
    lab.tick()
    lab.pass_time(6)
    lab.launcher.lose_memory()
    lab.run(20)
    assert lab.job(job).state is JobState.SUCCEEDED
    assert lab.launcher.runs[job] == 1
    lab.check_done()


def test_the_memory_a_job_was_measured_to_use_is_asked_for_next_time(lab: Lab) -> None:
    first = lab.submit(spec(1, work_s=3, key="same", peak_bytes=10 * GIB))
    lab.run(20)
    assert lab.job(first).attempts[0].peak_bytes == 10 * GIB
    second = lab.submit(spec(1, memory=2 * GIB, key="same", peak_bytes=10 * GIB))
    lab.tick()
    assert lab.job(second).attempts[0].grants[0].memory_bytes == int(10 * GIB * 1.05)


def test_a_job_that_filled_a_card_once_may_have_it_again(lab: Lab) -> None:
    lab.store.peaks["full"] = 24 * GIB - 1000
    job = lab.submit(spec(1, key="full", peak_bytes=24 * GIB - 1000))
    lab.tick()
    assert lab.job(job).attempts[0].grants[0].memory_bytes == 24 * GIB


def test_a_card_that_fails_is_taken_out_and_the_job_goes_on_elsewhere(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=30))
    lab.tick()
    bad = lab.job(job).attempts[0].grants[0].uuid
    run = lab.launcher.running()[0]
    run.script = replace(
        run.script,
        fails_after_s=3,
        error_type="torch.AcceleratorError",
        text="CUDA error: uncorrectable ECC error encountered",
        exit_code=3,
    )
    lab.run(90)
    assert lab.job(job).attempts[0].failure is FailureClass.HARDWARE
    assert bad in lab.warden.quarantined
    assert lab.job(job).attempts[1].grants[0].uuid != bad
    assert lab.job(job).state is JobState.SUCCEEDED
    (kept,) = lab.store.quarantines()
    card = lab.warden.cards[bad]
    assert (kept.uuid, kept.node, kept.index) == (bad, card.node, card.index)
    assert "ECC" in kept.reason


def broken(lab: Lab, index: int) -> Quarantine:
    card = list(lab.warden.cards.values())[index]
    return Quarantine(
        uuid=card.uuid, node=card.node, index=index, reason="Xid 79.", since=lab.clock.now()
    )


def test_a_broken_card_stays_closed_over_a_restart_of_ray_until_a_person_releases_it(
    lab: Lab,
) -> None:
    lab.tick()
    card = broken(lab, 2)
    lab.store.broken[card.uuid] = card
    lab.tick()
    assert lab.warden.quarantined[card.uuid].startswith("quarantined since ")
    assert lab.warden.quarantined[card.uuid].endswith(": Xid 79")
    lab.warden.lose_memory()
    wide = lab.submit(spec(4, work_s=5))
    lab.tick()
    assert lab.job(wide).current is None
    lab.store.end_quarantine(card.uuid)
    lab.tick()
    assert lab.job(wide).current is not None


def test_a_card_is_closed_before_the_same_round_gives_it_to_the_next_job(tmp_path: Path) -> None:
    """The round's snapshot still shows it free: only the warden can refuse it."""
    lab = Lab(DictJobStore(), tmp_path, cards=(1,))
    first = lab.submit(spec(1, work_s=30))
    lab.tick()
    run = lab.launcher.running()[0]
    run.script = replace(
        run.script,
        fails_after_s=3,
        error_type="torch.AcceleratorError",
        text="CUDA error: uncorrectable ECC error encountered",
        exit_code=3,
    )
    second = lab.submit(spec(1, work_s=30, user="bob"))
    lab.run(30, until_done=False)
    assert lab.job(first).attempts[0].failure is FailureClass.HARDWARE
    assert lab.warden.quarantined
    assert not [it for it in lab.job(second).attempts if it.launched_at]


def test_a_worker_on_a_card_it_was_not_given_is_reported(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    job = lab.submit(spec(1, work_s=20))
    lab.tick()
    folder = attempt_folder(lab.runs_dir, job, 1)
    folder.write("worker-0", WorkerFile(rank=0, uuids=("GPU-strange",), at=0.0))
    lab.run(30)
    said = [record for record in caplog.records if record.action == "used_not_granted"]
    assert len(said) == 1
    assert "GPU-strange" in said[0].fields["uuids"]
    assert lab.job(job).attempts[0].used == ("GPU-strange",)


def test_holds_of_people_reach_the_warden(lab: Lab) -> None:
    now = lab.clock.now()
    lab.store.held = tuple(
        Hold(
            id=index,
            node="node0",
            index=index,
            uuid=None,
            user="bob",
            reason="demo",
            since=now,
            until=now + timedelta(seconds=10),
        )
        for index in range(4)
    )
    job = lab.submit(spec(1, work_s=2))
    lab.tick()
    assert lab.job(job).reason == WaitReason.GPU_HELD
    lab.run(40)
    assert lab.job(job).state is JobState.SUCCEEDED


def test_a_job_that_fits_nowhere_fails_with_the_reason_once_all_nodes_had_time(lab: Lab) -> None:
    job = lab.submit(spec(5))
    lab.run(100, 2.0)
    assert lab.job(job).state is JobState.PENDING
    lab.run(100, 2.0)
    assert lab.job(job).state is JobState.FAILED
    assert lab.job(job).reason == WaitReason.NEVER_FITS


def test_what_an_ended_attempt_left_behind_is_cleared(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=5))
    lab.run(20)
    name = lab.job(job).attempts[0].submission_id
    run = lab.launcher._memory.known[name]
    run.status = LaunchStatus.RUNNING
    lab.warden.held[name] = run.grants
    lab.tick()
    assert name not in lab.warden.held
    assert run.killed_at is not None


def test_attempts_of_another_service_are_left_alone(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=500))
    lab.tick()
    run = lab.launcher.running()[0]
    stranger = replace(run, submission_id="gimbal-job-other-1")
    lab.launcher._memory.known[stranger.submission_id] = stranger
    lab.warden.held[stranger.submission_id] = ()
    for _ in range(3):
        lab.controller.tick()
    assert stranger.killed_at is None
    assert stranger.submission_id in lab.warden.held
    assert lab.job(job).state is JobState.RUNNING


def test_ray_is_not_left_with_an_endless_list(lab: Lab) -> None:
    for _ in range(120):
        lab.submit(spec(0, work_s=1))
    lab.run(400)
    lab.run(20, until_done=False)
    assert len(lab.launcher.reports()) == 50


def test_only_one_of_two_controllers_acts(lab: Lab) -> None:
    lab.tick()
    second = lab.new_controller()
    assert not second.tick().leading
    assert lab.tick().leading
    lab.pass_time(16)
    assert second.tick().leading
    assert not lab.controller.tick().leading


def test_a_driver_killed_by_a_signal_is_known_by_it(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=20))
    lab.run(3)
    lab.launcher.kill(lab.job(job).attempts[0].submission_id, -9)
    lab.run(3)
    assert lab.job(job).attempts[0].exit_code == -9
    assert lab.job(job).attempts[0].failure is FailureClass.OOM_HOST


def test_a_damaged_outcome_is_no_outcome(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=20))
    lab.run(3)
    folder = attempt_folder(lab.runs_dir, job, 1)
    (folder.path / "outcome.json").write_text("{")
    assert folder.path.exists()
    lab.launcher.kill(lab.job(job).attempts[0].submission_id, -11)
    lab.run(2)
    assert lab.job(job).attempts[0].failure is FailureClass.NATIVE_CRASH


def test_ray_calling_a_job_failed_that_says_it_succeeded_is_not_believed(lab: Lab) -> None:
    """One lost message of Ray's makes it call a running job FAILED (ray#65025)."""
    job = lab.submit(spec(1, work_s=20))
    lab.run(3)
    folder = attempt_folder(lab.runs_dir, job, 1)
    folder.write("outcome", OutcomeFile(exit_code=0, at=0.0))
    run = lab.launcher.running()[0]
    lab.launcher.finished[job] = 1
    run.status = LaunchStatus.FAILED
    lab.run(2)
    assert lab.job(job).state is JobState.SUCCEEDED


def test_a_driver_that_outlives_its_supervisor_does_not_meet_its_successor(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=30))
    lab.run(3)
    lab.launcher.lose_supervisor(lab.job(job).attempts[0].submission_id, 4.0)
    lab.run(60)
    assert [a.failure for a in lab.job(job).attempts] == [FailureClass.INFRA, None]
    lab.check_done()


def test_a_clock_that_is_set_back_does_not_make_a_backoff_last_for_hours(lab: Lab) -> None:
    job = lab.submit(spec(1, work_s=30))
    lab.run(3)
    lab.clock.jump(7200)
    lab.launcher.kill(lab.job(job).attempts[0].submission_id, -9)
    lab.run(1)
    assert lab.job(job).state is JobState.PENDING
    lab.clock.jump(-7200)
    lab.run(60)
    assert lab.job(job).state is JobState.SUCCEEDED


def test_stats_count_waits_and_decisions(lab: Lab) -> None:
    lab.submit(spec(4, work_s=10))
    lab.submit(spec(4, work_s=1))
    lab.run(30)
    buckets, total = lab.controller.stats.queue_wait_s.buckets()
    assert buckets[-1] == (float("inf"), 2)
    assert total >= 10
    assert lab.controller.stats.decision_s.buckets()[0][-1][1] > 10
    assert lab.controller.stats.placements == 2
