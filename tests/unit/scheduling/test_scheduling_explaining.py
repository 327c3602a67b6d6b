"""`gimbal jobs why`: the same verdict as the policy's, and a sentence for every card."""

from __future__ import annotations

from hypothesis import given, settings
from policy_support import NOW, SETTINGS, Decided, card, job, running
from policy_worlds import worlds

from gimbal.scheduling.explaining import explain
from gimbal.scheduling.model import Condition, GpuUuid, Request, Snapshot
from gimbal.scheduling.policy import decide


def why(request: Request, *gpus, holding=(), queue=()):
    snapshot = Snapshot(gpus=gpus, running=tuple(holding), queue=tuple(queue))
    return explain(request, snapshot, now=NOW, settings=SETTINGS)


def test_every_card_gets_its_sentence() -> None:
    alice = "alice (python, pid 40001) holds 14.0 GiB"
    gpus = [
        card(0),
        card(1, Condition.OURS),
        card(2, Condition.COOLING, cooling_s=42.0),
        card(3, Condition.FOREIGN, note=alice),
        card(4, Condition.HELD, note="held by carol until 14:05: thesis demo"),
        card(5, Condition.FAULTY, note="Xid 79"),
        card(6, Condition.UNKNOWN),
        card(7, total=8),
        card(8, foreign=0.5),
        card(9, Condition.OURS, own_bytes=3 * 2**30, note="our process (python, pid 7)"),
        card(10),
        card(11, Condition.OURS),
    ]
    holding = [
        running("job-ab12", [gpus[1]]),
        running("job-cd34", [gpus[11]], share=0.5, memory=8),
    ]
    request = job("me", 3, memory=23, avoid=frozenset({GpuUuid("GPU-lab-10")}))
    assert why(request, *gpus, holding=holding).gpus == (
        "lab:0 fits",
        "lab:1 runs job-ab12 of bob",
        "lab:2 is clean, counts as free in 42 s",
        f"lab:3 is taken: {alice}; 14.0 GiB of 24.0 GiB are not ours",
        "lab:4 is held: held by carol until 14:05: thesis demo",
        "lab:5 is faulty: Xid 79",
        "lab:6 is unknown",
        "lab:7 is free but too small: 23.0 GiB needed, 8.0 GiB can be given",
        "lab:8 is free but short of room: 23.0 GiB needed, 22.5 GiB left beside 0.5 GiB of others "
        "and the margin",
        "lab:9 is used by Ray work outside the job service: our process (python, pid 7); 3.0 GiB "
        "of 24.0 GiB",
        "lab:10 is avoided for a while: the job failed on it lately",
        "lab:11 is shared by job-cd34 of bob",
    )


def test_the_margin_is_named_only_where_it_is_taken() -> None:
    (sentence,) = why(job("me", memory=23.8), card(0, foreign=0.4)).gpus
    assert sentence.endswith("23.6 GiB left beside 0.4 GiB of others")


def test_a_share_is_told_what_is_left_of_a_shared_card() -> None:
    gpu = card(0, Condition.OURS)
    holding = [running("r", [gpu], share=0.5, memory=20)]
    fits = why(job("me", share=0.5, memory=3), gpu, holding=holding)
    assert fits.gpus == ("lab:0 fits beside r of bob",)
    full = why(job("me", share=0.5, memory=4), gpu, holding=holding)
    assert full.gpus == ("lab:0 is shared by r of bob: a share of 0.5 with 3.0 GiB is left",)


def test_the_headline_and_the_line() -> None:
    queue = [job(f"j{i}", priority=i, user="bob") for i in range(5)]
    told = why(job("me"), card(0, Condition.FOREIGN), queue=queue)
    assert told.headline == (
        "needs 1 whole card; 0 of 1 large enough fit now: 1 held by a foreign process"
    )
    assert told.line == (
        "number 6 of 6 in the queue, behind j4 of bob (priority 4), j3 of bob (priority 3), "
        "j2 of bob (priority 2) and 2 more"
    )
    assert told.position == 6
    assert told.ahead == ("j4", "j3", "j2", "j1", "j0")


def test_a_job_that_would_start_says_so() -> None:
    told = why(job("me", 2), card(0), card(1))
    assert told.reason is None
    assert (
        told.headline
        == "starts now: needs 2 whole cards; the smallest that fit now: lab:0 and 1 more"
    )
    assert told.line == "first of 1 in the queue"


def test_a_job_without_gpus_has_no_sentences_of_cards() -> None:
    assert why(job("me", gpus=0), card(0)).gpus == ()


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_the_explanation_agrees_with_the_decision(snapshot: Snapshot) -> None:
    result = Decided(decide(snapshot, now=NOW, settings=SETTINGS))
    for request in snapshot.queue[:3]:
        told = explain(request, snapshot, now=NOW, settings=SETTINGS)
        if request.job_id in result.places:
            assert told.reason is None
            fitting = sum(" fits" in sentence for sentence in told.gpus)
            assert fitting >= request.gpus
        else:
            wait = result.waits[request.job_id]
            assert (told.reason, told.headline) == (wait.reason, wait.detail)
        assert len(told.gpus) == (len(snapshot.gpus) if request.gpus else 0)
