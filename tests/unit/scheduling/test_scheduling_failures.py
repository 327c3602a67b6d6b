"""What explains a failure that shows in many places, and what no text may do to the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from failure_support import GIB, card, case_of, corpus
from hypothesis import assume, given
from hypothesis import strategies as st

import gimbal.errors
from gimbal.experiment import attempt
from gimbal.scheduling import failures
from gimbal.scheduling.failure_model import Evidence, FailureCase, FailureClass
from gimbal.scheduling.failures import classify
from gimbal.scheduling.oom_text import read_oom_text
from gimbal.scheduling.symptom_words import CODES, Symptom
from gimbal.scheduling.symptoms import symptoms

OOM = (
    "CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of 24.00 GiB of "
    "which 100.00 MiB is free. Process 77 has 14.10 GiB memory in use. Including non-PyTorch "
    "memory, this process has 9.80 GiB memory in use."
)
LOST = "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:1"


def said(
    text: str, kind: str = "", *, rank: int | None = None, at: float = 0.0, code: int | None = None
) -> Evidence:
    return Evidence(text=text, error_type=kind, rank=rank, at=at, error_code=code)


def failed(*evidence: Evidence, **fields: object) -> FailureCase:
    defaults: dict[str, object] = {"exit_code": 1, "ray_status": "FAILED"}
    return FailureCase(evidence=evidence, **{**defaults, **fields})  # type: ignore[arg-type]


def test_the_worker_that_ran_out_of_memory_explains_those_that_lost_it() -> None:
    diagnosis = classify(
        failed(
            said(LOST, "RuntimeError", rank=0, at=10.0),
            said(OOM, "torch.OutOfMemoryError", rank=1, at=10.5),
            said("worker 0 failed: RuntimeError", "gimbal.errors.StageFailed", at=12.0),
            gpus=(card(0, own=9, rank=0), card(1, foreign=14.1, own=9.8, rank=1)),
            exit_code=3,
        )
    )
    assert (diagnosis.failure, diagnosis.rank) == (FailureClass.CONTENTION, 1)
    assert diagnosis.blamed == {"GPU-1"}
    assert "GPU-1" in diagnosis.reason
    assert "14.1 GiB" in diagnosis.reason


def test_the_earliest_of_two_alike_is_where_it_began() -> None:
    diagnosis = classify(
        failed(
            said("", "KeyError", rank=0, at=20.0),
            said("", "ValueError", rank=3, at=10.0),
            said("", "TypeError", rank=1),
        )
    )
    assert diagnosis.rank == 3
    assert "ValueError" in diagnosis.reason


def test_a_job_too_large_for_an_empty_card_is_not_excused_by_a_neighbour_elsewhere() -> None:
    full = OOM.replace("Process 77 has 14.10 GiB memory in use. ", "").replace("9.80", "23.80")
    diagnosis = classify(
        failed(
            said(full, "torch.OutOfMemoryError", rank=0, at=2.0),
            said(OOM, "torch.OutOfMemoryError", rank=1, at=1.0),
            gpus=(card(0, own=23.8, rank=0), card(1, foreign=14.1, own=9.8, rank=1)),
        )
    )
    assert diagnosis.failure is FailureClass.OOM_INTRINSIC
    assert "max_batch_per_worker" in diagnosis.reason
    assert "23.8 GiB" in diagnosis.reason


@pytest.mark.parametrize(
    ("foreign", "need", "failure"),
    [
        (14.0, 9.0, FailureClass.OOM_INTRINSIC),
        (14.0, 9.9, FailureClass.CONTENTION),
        (14.0, None, FailureClass.CONTENTION),
        (14.0, 25.0, FailureClass.OOM_INTRINSIC),
        (0.1, 9.0, FailureClass.OOM_INTRINSIC),
    ],
)
def test_a_neighbour_is_at_fault_only_if_the_rest_is_less_than_the_need(
    foreign: float, need: float | None, failure: FailureClass
) -> None:
    case = failed(
        said("CUDA error: out of memory", "torch.AcceleratorError", code=2),
        gpus=(card(foreign=foreign, own=9.0),),
        need_bytes=None if need is None else int(need * GIB),
    )
    assert classify(case).failure is failure


def test_a_limit_that_was_hit_is_the_jobs_own_even_beside_a_neighbour() -> None:
    text = (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 24.00 GiB "
        "of which 5.00 GiB is free. Including non-PyTorch memory, this process has 9.50 GiB memory "
        "in use. 10.00 GiB allowed; Of the allocated memory 9.00 GiB is allocated by PyTorch, and "
        "100.00 MiB is reserved by PyTorch but unallocated."
    )
    assert read_oom_text(text).allowed_bytes == 10 * GIB
    case = failed(said(text, "torch.OutOfMemoryError"), gpus=(card(foreign=9.5, own=9.5),))
    assert classify(case).failure is FailureClass.OOM_INTRINSIC


def test_a_neighbour_that_left_before_the_sample_is_still_one() -> None:
    case = failed(said(OOM, "torch.OutOfMemoryError"), gpus=(card(own=9.8),))
    diagnosis = classify(case)
    assert diagnosis.failure is FailureClass.CONTENTION
    assert "77" in diagnosis.reason


def test_other_processes_of_the_same_job_are_no_neighbours() -> None:
    case = failed(said(OOM, "torch.OutOfMemoryError"), gpus=(card(own=23.9),))
    assert classify(case).failure is FailureClass.OOM_INTRINSIC


def test_what_nobody_can_tell_is_said_and_tried_elsewhere_once() -> None:
    diagnosis = classify(failed(said("CUDA error: out of memory", "RuntimeError")))
    assert diagnosis.failure is FailureClass.NATIVE_CRASH
    assert "neither a snapshot nor the text" in diagnosis.reason


def test_gimbals_own_guard_is_believed() -> None:
    case = failed(
        said("card GPU-0 is held by pid 77", "gimbal.experiment.attempt.GpuContended", rank=0),
        exit_code=76,
        gpus=(card(0), card(1, foreign=9.0)),
    )
    diagnosis = classify(case)
    assert diagnosis.failure is FailureClass.CONTENTION
    assert diagnosis.blamed == {"GPU-1"}


@pytest.mark.parametrize(
    ("error", "code"),
    [(error, error.exit_code) for error in gimbal.errors.GimbalError.__subclasses__()],
)
def test_every_exit_code_of_gimbals_is_known(
    error: type[gimbal.errors.GimbalError], code: int
) -> None:
    """The classifier may not import the errors; this holds its numbers against them."""
    if error in (attempt.Preempted, attempt.GpuContended):
        return
    case = failed(said("why", f"{error.__module__}.{error.__name__}"), exit_code=code)
    if error.__module__ == "gimbal.errors":
        assert classify(case).failure is FailureClass.USER_CODE


def test_the_two_codes_of_an_attempt_are_known() -> None:
    assert classify(failed(exit_code=attempt.EXIT_PREEMPTED)).failure is FailureClass.PREEMPTED
    assert classify(failed(exit_code=attempt.EXIT_CONTENDED)).failure is FailureClass.CONTENTION
    assert failures._EXIT_PREEMPTED == attempt.EXIT_PREEMPTED
    assert failures._EXIT_CONTENDED == attempt.EXIT_CONTENDED


def test_an_exit_that_names_its_cause_outweighs_an_older_mended_failure() -> None:
    case = failed(
        said(OOM, "torch.OutOfMemoryError", rank=0, at=1.0),
        said("accuracy .4 < .5", "gimbal.errors.GateFailed", at=99.0),
        gpus=(card(foreign=14.1),),
        exit_code=4,
    )
    diagnosis = classify(case)
    assert diagnosis.failure is FailureClass.USER_CODE
    assert "accuracy" in diagnosis.reason


def test_a_guard_that_stopped_a_worker_is_not_a_summary() -> None:
    stopped = said("the loss diverged", "gimbal.errors.StageFailed", rank=0, at=1.0)
    lost = said(LOST, "RuntimeError", rank=1, at=0.5)
    assert classify(failed(stopped, lost, exit_code=3)).failure is FailureClass.USER_CODE
    summary = replace(stopped, rank=None, text="2 workers failed")
    assert classify(failed(summary, lost, exit_code=3)).failure is FailureClass.COMMUNICATION


@pytest.mark.parametrize(
    ("exit_code", "status", "failure"),
    [
        (None, None, FailureClass.INFRA),
        (None, "absent", FailureClass.INFRA),
        (None, "STOPPED", FailureClass.INFRA),
        (None, "FAILED", FailureClass.UNKNOWN),
        (1, "FAILED", FailureClass.UNKNOWN),
        (-9, "FAILED", FailureClass.OOM_HOST),
        (137, "FAILED", FailureClass.OOM_HOST),
        (-11, "FAILED", FailureClass.NATIVE_CRASH),
        (134, "FAILED", FailureClass.NATIVE_CRASH),
        (-15, "STOPPED", FailureClass.INFRA),
        (130, "FAILED", FailureClass.INFRA),
        (70, "FAILED", FailureClass.USER_CODE),
        (75, "FAILED", FailureClass.PREEMPTED),
    ],
)
def test_where_nobody_said_anything_the_status_speaks(
    exit_code: int | None, status: str | None, failure: FailureClass
) -> None:
    diagnosis = classify(FailureCase(exit_code=exit_code, ray_status=status))
    assert diagnosis.failure is failure, diagnosis.reason


def test_being_stopped_excuses_its_consequences_but_no_error_of_its_own() -> None:
    lost = failed(said(LOST, "RuntimeError", rank=0), exit_code=-9, stop_why="preempt")
    assert classify(lost).failure is FailureClass.PREEMPTED
    assert "make room" in classify(lost).reason
    assert "cancelled" in classify(replace(lost, stop_why="cancel")).reason
    bug = failed(said("", "KeyError", rank=0), stop_why="preempt")
    assert classify(bug).failure is FailureClass.USER_CODE


def test_a_broken_card_is_quarantined_whatever_else_went_wrong() -> None:
    cards = (card(0), card(1, fault="Xid 79"))
    diagnosis = classify(failed(said("", "gimbal.errors.ConfigError"), exit_code=2, gpus=cards))
    assert diagnosis.failure is FailureClass.USER_CODE
    assert diagnosis.quarantine == {"GPU-1"}
    lost = classify(failed(said(LOST, "RuntimeError", rank=0, at=1.0), gpus=cards))
    assert (lost.failure, lost.quarantine) == (FailureClass.HARDWARE, {"GPU-1"})
    asked = classify(failed(exit_code=75, stop_why="preempt", gpus=cards))
    assert (asked.failure, asked.quarantine) == (FailureClass.PREEMPTED, {"GPU-1"})


@pytest.mark.parametrize(("code", "symptom"), sorted(CODES.items()))
def test_a_code_is_enough(code: int, symptom: Symptom) -> None:
    assert symptoms(said("CUDA error", "torch.AcceleratorError", code=code)) == {symptom}


def test_a_reason_is_one_printable_line() -> None:
    hostile = "\x1b[31mValueError: \x1b[2J{0.__class__} %s\x07\nTraceback\r\n{cards}"
    reason = classify(failed(said(hostile, "ValueError", rank=0))).reason
    assert reason.isprintable()
    assert "{0.__class__} %s" in reason


KINDS = st.sampled_from(
    [
        *("", ".", "a.B", "….É", "RuntimeError", "ValueError", "torch.OutOfMemoryError"),
        *("torch.AcceleratorError", "ray.exceptions.ActorDiedError", "gimbal.errors.StageFailed"),
    ]
)
PIECES = st.sampled_from([entry["text"] for entry in corpus()] + ["Process ", " GiB", "(GPU 0; "])
TEXTS = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=200).map(lambda b: b.decode("utf-8", "surrogateescape")),
    st.lists(st.one_of(PIECES, st.text(max_size=9)), max_size=4).map("".join),
    st.from_regex(r"(Process \d{1,40} has \d{1,40}\.\d{1,40} [KMGTP]iB memory in use\. ){0,3}"),
)
EVIDENCE = st.builds(
    Evidence,
    text=TEXTS,
    error_type=KINDS,
    error_code=st.one_of(st.none(), st.integers(-5, 1000)),
    rank=st.one_of(st.none(), st.integers(0, 3)),
    at=st.one_of(st.just(0.0), st.floats(1, 1e10)),
)
SIZES = st.floats(0, 100)
CARDS = st.lists(
    st.builds(card, st.integers(0, 3), foreign=SIZES, own=SIZES, sibling=SIZES, total=SIZES),
    max_size=3,
).map(tuple)
CASES = st.builds(
    FailureCase,
    evidence=st.lists(EVIDENCE, max_size=4).map(tuple),
    exit_code=st.one_of(st.none(), st.integers(-64, 255)),
    ray_status=st.sampled_from([None, "FAILED", "STOPPED", "what?"]),
    gpus=CARDS,
    need_bytes=st.one_of(st.none(), st.integers(0, 2**40)),
    stop_why=st.sampled_from(["", "preempt", "cancel"]),
)


@given(CASES)
def test_no_text_and_no_snapshot_can_break_it(case: FailureCase) -> None:
    diagnosis = classify(case)
    assert "\n" not in diagnosis.reason
    assert 0 < len(diagnosis.reason) < 800
    uuids = {gpu.uuid for gpu in case.gpus}
    assert diagnosis.quarantine <= diagnosis.blamed <= uuids
    if diagnosis.failure is FailureClass.PREEMPTED:
        assert case.stop_why or case.exit_code == 75


@given(CASES, st.permutations(range(4)))
def test_the_order_of_the_evidence_does_not_matter(case: FailureCase, order: list[int]) -> None:
    shuffled = tuple(case.evidence[n] for n in order if n < len(case.evidence))
    assert classify(replace(case, evidence=shuffled)).failure is classify(case).failure


EXPLAINED = st.sampled_from(
    [entry for entry in corpus() if entry["expect"] not in ("COMMUNICATION", "UNKNOWN")]
)
LESSER = st.sampled_from(
    [
        said(LOST, "RuntimeError", rank=2, at=2e10),
        said("2 workers failed", "gimbal.errors.StageFailed", at=2e10),
        said("Watchdog caught collective operation timeout", rank=1, at=2e10),
        said("something else", at=2e10),
    ]
)


@given(EXPLAINED, LESSER)
def test_later_evidence_that_explains_less_changes_nothing(
    entry: dict[str, object], later: Evidence
) -> None:
    case = case_of(entry)
    assume(min(symptoms(case.evidence[0])) < Symptom.COMMUNICATION)
    both = classify(replace(case, evidence=(*case.evidence, later)))
    assert both.failure is classify(case).failure


def test_megabytes_of_log_cost_no_seconds() -> None:
    """A pattern that backtracks would take minutes here; pytest's own limit is far away."""
    log = "Process 1 has 1.0 GiB \x00 Xid (((( CUDA error CUBLAS_STATUS_ " * 200_000
    assert classify(failed(said(log), exit_code=None)).failure is FailureClass.UNKNOWN
