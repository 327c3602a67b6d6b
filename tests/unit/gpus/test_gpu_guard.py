"""The guard: the right card, enough room, or an error within seconds that says who is there."""

from __future__ import annotations

import logging
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.attempt import AttemptFolder, GpuContended, GrantedGpu, GrantFile, WorkerFile
from gimbal.gpus.guard import GpuGuard
from gimbal.gpus.model import GpuSample, NodeSample, ProcessUse
from gimbal.gpus.own_cards import as_uuids, find_card, holders
from gimbal.scheduling.model import GpuUuid
from gimbal.testing.fake_gpus import FakeLab, fake_uuid

MIB, GIB = 1024**2, 1024**3
LAB = "gpus: [{name: NVIDIA GeForce RTX 3090, memory: 24GiB, count: 4}]\n"


@dataclass(frozen=True)
class Place:
    gpu_ids: tuple[str, ...] = ("3",)
    rank: int = 0


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLab:
    """Four cards of a node called lab, seen through the environment as a worker sees them."""
    (tmp_path / "lab.yaml").write_text(LAB)
    monkeypatch.setenv("GIMBAL_GPU_BACKEND", "gimbal.testing.fake_gpus:from_environment")
    monkeypatch.setenv("GIMBAL_FAKE_GPUS", str(tmp_path / "lab.yaml"))
    monkeypatch.setenv("GIMBAL_FAKE_GPUS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    monkeypatch.setattr("gimbal.gpus.guard.socket.gethostname", lambda: "lab")
    return FakeLab(tmp_path / "state")


def uuid(index: int) -> GpuUuid:
    return fake_uuid("lab", index)


def grant(
    folder: Path,
    *cards: int,
    memory: int | None = None,
    share: float = 1.0,
    tolerated: int | None = None,
) -> str:
    gpus = tuple(
        GrantedGpu(uuid=uuid(card), node="lab", index=card, bundle=place, share=share)
        for place, card in enumerate(cards)
    )
    file = GrantFile(
        job="j",
        attempt=1,
        reservation="r",
        gpus=gpus,
        memory_bytes=memory,
        tolerated_bytes=tolerated,
    )
    AttemptFolder(folder).write("grant", file)
    return str(folder)


def test_a_worker_without_a_gpu_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIMBAL_GPU_BACKEND", "nowhere:nothing")
    GpuGuard(budget_bytes=GIB)(Place(gpu_ids=()))


def test_the_budget_is_held_from_the_first_act_on(lab: FakeLab, tmp_path: Path) -> None:
    attempt = grant(tmp_path / "1", 3)
    guard = pickle.loads(pickle.dumps(GpuGuard(budget_bytes=18 * GIB, attempt=attempt)))
    guard(Place(rank=2))
    assert lab.own_bytes() == {uuid(3): 18 * GIB}
    report = AttemptFolder(attempt).read("worker-2", WorkerFile)
    assert report is not None
    assert (report.uuids, report.reserved_bytes, report.peak_bytes) == (
        (uuid(3),),
        18 * GIB,
        18 * GIB,
    )


def test_cuda_is_told_the_card_by_its_uuid_and_in_the_order_of_the_bus(lab: FakeLab) -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = "1,3"
    GpuGuard()(Place())
    assert os.environ["CUDA_VISIBLE_DEVICES"] == f"{uuid(1)},{uuid(3)}"
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_ray_may_name_cards_by_uuid(lab: FakeLab) -> None:
    GpuGuard(budget_bytes=GIB)(Place(gpu_ids=(uuid(2), uuid(0))))
    assert lab.own_bytes() == {uuid(2): GIB, uuid(0): GIB}


def test_a_neighbour_is_named_with_what_it_holds(lab: FakeLab) -> None:
    lab.arrive(3, 14 * GIB)
    with pytest.raises(GpuContended) as caught:
        GpuGuard(budget_bytes=18 * GIB, patience_s=0)(Place())
    assert caught.value.exit_code == 76
    assert caught.value.message == (
        "GPU lab:3: 10.0 GiB free, 18.0 GiB needed; alice (python) holds 14.0 GiB"
    )
    assert "gimbal submit" in caught.value.remedy
    assert lab.own_bytes() == {}


def test_a_predecessor_that_is_just_dying_is_waited_for(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = lab.arrive(3, 14 * GIB)
    monkeypatch.setattr("gimbal.gpus.taking.time.sleep", lambda _: lab.leave(pid))
    GpuGuard(budget_bytes=18 * GIB)(Place())
    assert lab.own_bytes() == {uuid(3): 18 * GIB}


def test_a_card_that_was_not_granted_is_refused(lab: FakeLab, tmp_path: Path) -> None:
    guard = GpuGuard(budget_bytes=GIB, attempt=grant(tmp_path / "1", 0, 1))
    with pytest.raises(GpuContended) as caught:
        guard(Place())
    for words in ("lab:3", uuid(3), "lab:0", uuid(0), "lab:1", uuid(1)):
        assert words in caught.value.message
    assert lab.own_bytes() == {}


def test_a_card_that_the_driver_does_not_list_is_refused_only_where_it_matters(
    lab: FakeLab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    GpuGuard(budget_bytes=GIB)(Place(gpu_ids=("7",)))
    assert "GPU 7" in caplog.text and lab.own_bytes() == {}
    with pytest.raises(GpuContended, match="GPU 7"):
        GpuGuard(attempt=grant(tmp_path / "1", 3))(Place(gpu_ids=("7",)))


def test_more_than_the_card_has_is_the_configs_fault(lab: FakeLab) -> None:
    with pytest.raises(ConfigError, match=r"GPU lab:3 has 24\.0 GiB, the run wants 30\.0 GiB"):
        GpuGuard(budget_bytes=30 * GIB)(Place())


def test_what_the_service_decided_goes_before_what_the_config_states(
    lab: FakeLab, tmp_path: Path
) -> None:
    GpuGuard(budget_bytes=4 * GIB, attempt=grant(tmp_path / "1", 3, memory=6 * GIB))(Place())
    assert lab.own_bytes() == {uuid(3): 6 * GIB}


def test_without_a_stated_need_others_are_reported_and_not_refused(
    lab: FakeLab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.arrive(3, 300 * MIB)
    GpuGuard()(Place())
    assert not caplog.records, "what a display server holds is not worth a word"
    lab.arrive(3, 22 * GIB, user="bob")
    with caplog.at_level(logging.WARNING):
        GpuGuard()(Place())
    assert "bob (python) holds 22.0 GiB" in caplog.text


def test_a_job_that_states_nothing_is_owed_a_clean_card(lab: FakeLab, tmp_path: Path) -> None:
    lab.arrive(3, 2 * GIB)
    with pytest.raises(GpuContended, match=r"a clean card needed; alice \(python\) holds 2\.0 GiB"):
        GpuGuard(attempt=grant(tmp_path / "1", 3), patience_s=0)(Place())


@pytest.mark.parametrize("tolerated", [None, 812 * MIB])
def test_what_the_service_takes_for_free_is_clean_for_the_worker_too(
    lab: FakeLab, tmp_path: Path, tolerated: int | None
) -> None:
    """Else the job would be given the same card again and again, and no try would count."""
    lab.arrive(3, 250 * MIB, user="root")
    lab.arrive(3, 300 * MIB)
    attempt = grant(tmp_path / "1", 3, tolerated=tolerated)
    GpuGuard(attempt=attempt, patience_s=0)(Place())
    lab.arrive(3, 263 * MIB)
    with pytest.raises(GpuContended, match="a clean card needed"):
        GpuGuard(attempt=attempt, patience_s=0)(Place())


@pytest.mark.parametrize(("tolerated", "refused"), [(100 * MIB, True), (2 * GIB, False)])
def test_a_worker_goes_by_what_its_service_tolerates(
    lab: FakeLab, tmp_path: Path, tolerated: int, refused: bool
) -> None:
    lab.arrive(3, GIB)
    guard = GpuGuard(attempt=grant(tmp_path / "1", 3, tolerated=tolerated), patience_s=0)
    if refused:
        with pytest.raises(GpuContended):
            guard(Place())
    else:
        guard(Place())


@pytest.mark.parametrize("others", [0, 4 * MIB, 300 * MIB, 812 * MIB])
@pytest.mark.parametrize("measured", [10 * GIB, 23 * GIB, 24 * GIB, 25 * GIB])
def test_a_measured_need_is_met_by_what_a_clean_card_has_left(
    lab: FakeLab, tmp_path: Path, others: int, measured: int
) -> None:
    """What filled a card once starts there again, and its libraries find room beside it."""
    if others:
        lab.arrive(3, others)
    guard = GpuGuard(attempt=grant(tmp_path / "1", 3, memory=measured), patience_s=0)
    guard(Place())
    assert lab.own_bytes() == {uuid(3): min(measured, 24 * GIB - others - 512 * MIB)}
    guard.touch()


def test_a_measured_need_is_no_reason_to_start_on_a_taken_card(
    lab: FakeLab, tmp_path: Path
) -> None:
    lab.arrive(3, 2 * GIB)
    with pytest.raises(GpuContended, match=r"alice \(python\) holds 2\.0 GiB"):
        GpuGuard(attempt=grant(tmp_path / "1", 3, memory=23 * GIB), patience_s=0)(Place())
    assert lab.own_bytes() == {}


@pytest.mark.parametrize(("stated", "share"), [(int(23.9 * GIB), 1.0), (None, 0.5)])
def test_what_is_stated_or_shared_is_a_promise(
    lab: FakeLab, tmp_path: Path, stated: int | None, share: float
) -> None:
    lab.arrive(3, 300 * MIB)
    attempt = grant(tmp_path / "1", 3, memory=int(23.9 * GIB), share=share)
    with pytest.raises(GpuContended, match=r"23\.7 GiB free, 23\.9 GiB needed"):
        GpuGuard(budget_bytes=stated, attempt=attempt, patience_s=0)(Place())


def test_only_the_stated_part_of_a_need_is_a_promise(lab: FakeLab, tmp_path: Path) -> None:
    lab.arrive(3, 300 * MIB)
    attempt = grant(tmp_path / "1", 3, memory=24 * GIB)
    GpuGuard(budget_bytes=20 * GIB, attempt=attempt, patience_s=0)(Place())
    assert lab.own_bytes() == {uuid(3): 24 * GIB - 812 * MIB}


def test_a_neighbour_in_the_middle_of_a_run_is_met_in_the_words_of_cuda(lab: FakeLab) -> None:
    guard = GpuGuard(budget_bytes=18 * GIB)
    guard(Place())
    guard.touch()
    lab.arrive(3, 20 * GIB)
    with pytest.raises(RuntimeError, match="CUBLAS_STATUS_ALLOC_FAILED"):
        guard.touch()
    (card,) = guard.cards_now()
    assert card["uuid"] == uuid(3) and card["own_bytes"] == 18 * GIB
    assert card["used_bytes"] - card["own_bytes"] >= 5 * GIB


@dataclass
class Scripted:
    """A backend of one card whose calls fail as told."""

    sample_: NodeSample
    fails: dict[str, Exception] = field(default_factory=dict)
    said: list[tuple[str, int]] = field(default_factory=list)
    uuid: str = "GPU-one"

    def probe(self) -> Scripted:
        return self

    def sample(self) -> NodeSample:
        return self.sample_

    def close(self) -> None:
        pass

    def memory(self, uuid: GpuUuid) -> Scripted:
        self._say("memory", 0)
        return self

    def room(self) -> tuple[int, int]:
        return 20 * GIB, 24 * GIB

    def reserve(self, size_bytes: int) -> None:
        self._say("reserve", size_bytes)

    def cap(self, size_bytes: int) -> None:
        self._say("cap", size_bytes)

    def peak_bytes(self) -> int:
        return 0

    def _say(self, what: str, size: int) -> None:
        self.said.append((what, size))
        if what in self.fails:
            raise self.fails[what]


def one_card(**keys: object) -> NodeSample:
    values = {"used_bytes": 4 * GIB, "processes": ()} | keys
    card = GpuSample(uuid=GpuUuid("GPU-one"), index=0, name="x", total_bytes=24 * GIB, **values)
    return NodeSample(at=0.0, gpus=(card,))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    backend = Scripted(one_card())
    monkeypatch.setattr("gimbal.gpus.guard.open_backend", lambda: backend)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    return backend


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("reserve", "CUDA out of memory. Tried to allocate 8.00 GiB."),
        ("memory", "CUDA error: out of memory"),
        ("memory", "CUDA error: all CUDA-capable devices are busy or unavailable"),
        ("reserve", "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`"),
    ],
)
def test_a_card_lost_in_the_race_is_contended(scripted: Scripted, call: str, words: str) -> None:
    """There was room a moment ago, or a full card refuses even a context."""
    scripted.fails[call] = RuntimeError(words)
    with pytest.raises(GpuContended) as caught:
        GpuGuard(budget_bytes=8 * GIB)(Place(gpu_ids=("0",)))
    assert caught.value.__cause__ is scripted.fails[call]


def test_another_error_of_cuda_stays_what_it_is(scripted: Scripted) -> None:
    scripted.fails["reserve"] = RuntimeError("CUDA error: unspecified launch failure")
    with pytest.raises(RuntimeError, match="launch failure"):
        GpuGuard(budget_bytes=8 * GIB)(Place(gpu_ids=("0",)))


@pytest.mark.parametrize(
    ("stated", "share", "capped"), [(8 * GIB, 1.0, True), (None, 0.5, True), (None, 1.0, False)]
)
def test_a_measured_need_is_reserved_but_binds_only_where_a_card_is_shared(
    scripted: Scripted, tmp_path: Path, stated: int | None, share: float, capped: bool
) -> None:
    card = GrantedGpu(uuid="GPU-one", node="lab", index=0, bundle=0, share=share)
    file = GrantFile(job="j", attempt=1, reservation="r", gpus=(card,), memory_bytes=9 * GIB)
    AttemptFolder(tmp_path).write("grant", file)
    GpuGuard(budget_bytes=stated, attempt=str(tmp_path))(Place(gpu_ids=("0",)))
    assert ("reserve", 9 * GIB) in scripted.said
    assert (("cap", 9 * GIB) in scripted.said) is capped


def test_gpus_that_only_ray_believes_in_are_passed_over(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray was started with num_gpus on a machine that has none, and nothing fakes them."""
    monkeypatch.delenv("GIMBAL_GPU_BACKEND", raising=False)
    scripted.sample_ = NodeSample(at=0.0, problem="no NVIDIA driver")
    GpuGuard(budget_bytes=8 * GIB)(Place(gpu_ids=("0",)))
    assert scripted.said == []


def test_a_torch_without_cuda_is_refused_only_where_a_gpu_was_asked_for(
    scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    blind = ConfigError("this process does not see the GPU")
    scripted.fails["memory"] = blind
    GpuGuard()(Place(gpu_ids=("0",)))
    assert "does not see the GPU" in caplog.text
    with pytest.raises(ConfigError):
        GpuGuard(budget_bytes=GIB)(Place(gpu_ids=("0",)))


def uses(*given: tuple[int, int | None, str]) -> tuple[ProcessUse, ...]:
    return tuple(
        ProcessUse(pid=pid, used_bytes=used, name="python", user=user) for pid, used, user in given
    )


def test_who_is_on_a_card_in_words() -> None:
    def words(processes: tuple[ProcessUse, ...] | None, used: int) -> str:
        return holders(one_card(processes=processes, used_bytes=used).gpus[0], {1})

    assert words((), 0) == "nobody is listed on it"
    assert words(None, 4 * GIB) == "the driver does not say who holds the rest"
    assert words(uses((1, 3 * GIB, "me")), 3 * GIB) == "nobody is listed on it"
    assert words((), 4 * GIB) == "4.0 GiB belong to no process that is listed"
    assert (
        words(uses((2, None, "uid 1004")), 4 * GIB) == "uid 1004 (python) holds an unknown amount"
    )
    many = uses((2, GIB, "a"), (3, 2 * GIB, "b"), (4, 3 * GIB, ""), (5, GIB, "d"))
    assert words(many, 7 * GIB) == (
        "somebody (python) holds 3.0 GiB, b (python) holds 2.0 GiB, a (python) holds 1.0 GiB, "
        "1 more are on it"
    )


def test_names_of_cards() -> None:
    cards = tuple(
        GpuSample(uuid=GpuUuid(name), index=index, name="x", total_bytes=1, used_bytes=0)
        for index, name in enumerate(["GPU-aa11", "GPU-ab22", "GPU-ab33"])
    )
    sample = NodeSample(at=0.0, gpus=cards)
    assert find_card("1", sample) is cards[1]
    assert find_card("GPU-aa", sample) is cards[0]
    assert find_card("GPU-ab", sample) is None, "it fits two"
    assert find_card("9", sample) is None
    assert as_uuids("2, GPU-aa", sample) == "GPU-ab33,GPU-aa11"
    assert as_uuids("0,NoDevFiles", sample) == "0,NoDevFiles"
