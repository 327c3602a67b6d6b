"""Memory on a card is ours only if a process of ours is proven to hold it, and it all adds up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gimbal.gpus.attribution import (
    AttributionRules,
    OwnProcesses,
    PidMode,
    attribute,
    needs_reports,
)
from gimbal.gpus.model import GpuSample, NodeSample, Owner, ProcessUse
from gimbal.gpus.words import GIB, MIB
from gimbal.scheduling.model import GpuUuid

UUID = GpuUuid("GPU-1")
OURS = OwnProcesses(live={10: 100.0}, leaked={11: 200.0})
RULES = AttributionRules(mode=PidMode.VISIBLE)


def process(pid: int, gib: float | None, began: float | None = None, name: str = "python"):
    held = None if gib is None else int(gib * GIB)
    return ProcessUse(pid=pid, used_bytes=held, name=name, user="alice", began=began)


def found(
    used_gib: float | None,
    *processes: ProcessUse,
    rules: AttributionRules = RULES,
    reported_gib: float = 0,
    listed: bool = True,
) -> list[tuple[Owner, float, int]]:
    card = GpuSample(
        uuid=UUID,
        index=0,
        name="x",
        total_bytes=24 * GIB,
        used_bytes=None if used_gib is None else int(used_gib * GIB),
        processes=processes if listed else None,
    )
    sample = NodeSample(at=0, gpus=(card,))
    (gpu,) = attribute(sample, OURS, rules, {UUID: int(reported_gib * GIB)})
    return [(use.owner, use.used_bytes / GIB, use.pid) for use in gpu.uses]


def test_the_classes_are_told_by_pid_and_birth() -> None:
    assert found(
        15,
        process(10, 1, 100.5),
        process(11, 2, 200.0),
        process(12, 3, 300.0),
        process(13, 0.25, 50.0, name="Xorg"),
    ) == [
        (Owner.OWN_LIVE, 1, 10),
        (Owner.OWN_LEAKED, 2, 11),
        (Owner.FOREIGN_USER, 3, 12),
        (Owner.FOREIGN_SYSTEM, 0.25, 13),
        (Owner.UNATTRIBUTED, 8.75, 0),
    ]


def test_a_pid_that_was_used_again_is_not_ours() -> None:
    assert found(1, process(10, 1, 900.0)) == [(Owner.FOREIGN_USER, 1, 10)]


def test_a_process_whose_birth_is_unknown_is_not_ours_unless_it_was_and_died() -> None:
    assert found(1, process(10, 1, None)) == [(Owner.FOREIGN_USER, 1, 10)]
    assert found(1, process(11, 1, None)) == [(Owner.OWN_LEAKED, 1, 11)]


def test_a_display_server_with_much_memory_is_a_foreign_user() -> None:
    assert found(1, process(13, 1, 1.0, name="Xorg")) == [(Owner.FOREIGN_USER, 1, 13)]


def test_memory_the_driver_does_not_say_goes_to_strangers_first() -> None:
    assert found(9, process(10, None, 100.0), process(12, None, 3.0)) == [
        (Owner.OWN_LIVE, 0, 10),
        (Owner.FOREIGN_USER, 9, 12),
    ]
    assert found(9, process(10, 0, 100.0), process(12, None, 3.0), reported_gib=4) == [
        (Owner.OWN_LIVE, 4, 10),
        (Owner.FOREIGN_USER, 5, 12),
    ]


def test_memory_the_driver_does_not_say_is_ours_if_only_we_are_listed() -> None:
    assert found(9, process(10, None, 100.0)) == [(Owner.OWN_LIVE, 9, 10)]
    assert found(9, process(10, None, 100.0), reported_gib=4) == [
        (Owner.OWN_LIVE, 4, 10),
        (Owner.UNATTRIBUTED, 5, 0),
    ]


@pytest.mark.parametrize("mode", [PidMode.FOREIGN_NAMESPACE, PidMode.INVISIBLE])
def test_where_pids_tell_nothing_our_workers_word_counts(mode: PidMode) -> None:
    rules = AttributionRules(mode=mode)
    assert found(9, process(10, 9, 100.0), rules=rules, reported_gib=4) == [
        (Owner.OWN_LIVE, 4, 0),
        (Owner.UNATTRIBUTED, 5, 0),
    ]
    assert found(9, rules=rules) == [(Owner.UNATTRIBUTED, 9, 0)]
    assert found(3, rules=rules, reported_gib=4) == [(Owner.OWN_LIVE, 3, 0)]


def test_a_list_that_made_no_sense_counts_as_none() -> None:
    assert found(9, listed=False, reported_gib=9) == [(Owner.OWN_LIVE, 9, 0)]
    assert found(9, listed=False) == [(Owner.UNATTRIBUTED, 9, 0)]


def test_where_pids_tell_all_a_workers_word_does_not_hide_a_stranger() -> None:
    assert found(9, process(12, 9, 3.0), reported_gib=9) == [(Owner.FOREIGN_USER, 9, 12)]


def test_a_card_that_does_not_say_what_is_in_use_has_what_is_listed() -> None:
    assert found(None, process(12, 3, 3.0)) == [(Owner.FOREIGN_USER, 3, 12)]


def test_reports_are_asked_for_only_where_the_driver_leaves_something_unsaid() -> None:
    def needed(processes: tuple[ProcessUse, ...] | None, mode: PidMode = PidMode.VISIBLE) -> bool:
        card = GpuSample(
            uuid=UUID, index=0, name="x", total_bytes=9, used_bytes=9, processes=processes
        )
        return needs_reports(NodeSample(at=0, gpus=(card,)), mode)

    assert not needed((process(10, 1),))
    assert not needed(())
    assert needed((process(10, 1), process(11, None)))
    assert needed((process(10, 0),))
    assert needed(None)
    assert needed((), PidMode.INVISIBLE)


_PROCESSES = st.lists(
    st.builds(
        process,
        st.sampled_from([10, 11, 12, 13]),
        st.one_of(st.none(), st.floats(0, 30)),
        st.sampled_from([None, 100.0, 200.0, 777.0]),
        st.sampled_from(["python", "Xorg", ""]),
    ),
    max_size=5,
    unique_by=lambda use: use.pid,
)


@given(
    _PROCESSES,
    st.one_of(st.none(), st.integers(0, 24 * GIB)),
    st.sampled_from(PidMode),
    st.integers(0, 30 * GIB),
    st.booleans(),
)
def test_uses_add_up_to_what_is_in_use_and_are_never_negative(
    processes: list[ProcessUse],
    used_bytes: int | None,
    mode: PidMode,
    reported: int,
    listed: bool,
) -> None:
    card = GpuSample(
        uuid=UUID,
        index=0,
        name="x",
        total_bytes=24 * GIB,
        used_bytes=used_bytes,
        processes=tuple(processes) if listed else None,
    )
    sample = NodeSample(at=0, gpus=(card, replace(card, uuid=GpuUuid("GPU-2"))))
    gpus = attribute(sample, OURS, AttributionRules(mode=mode), {UUID: reported})
    known = sum(use.used_bytes or 0 for use in card.processes or ())
    for gpu in gpus:
        assert all(use.used_bytes >= 0 for use in gpu.uses)
        assert sum(use.used_bytes for use in gpu.uses) == max(used_bytes or 0, known)
    strangers = [use for use in gpus[1].uses if use.owner is Owner.FOREIGN_SYSTEM]
    assert all(use.used_bytes <= 300 * MIB for use in strangers)
