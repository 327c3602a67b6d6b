"""Gap closed on subsets: the definition, its interval and the paired blind test."""

import numpy as np
import pytest

from gimbal_nbv.report.statistics import by_family, gap_closed, gaps_of, paired


def objects(policy: list[float], *, farthest: float = 0.7, oracle: float = 0.9) -> list[dict]:
    return [{"auc": {"policy": auc, "farthest": farthest, "oracle": oracle}} for auc in policy]


def test_gap_is_a_ratio_of_means() -> None:
    gap = gap_closed(objects([0.8, 0.9, 0.7]))
    assert gap is not None
    assert gap.value == pytest.approx(0.5)
    assert gap.objects == 3
    assert gap.ci95 is not None and gap.ci95[0] < 0.5 < gap.ci95[1]


def test_gap_repeats_and_narrows_with_objects() -> None:
    few = gap_closed(objects([0.8, 0.9, 0.7]))
    assert few == gap_closed(objects([0.8, 0.9, 0.7]))
    many = gap_closed(objects([0.8, 0.9, 0.7] * 20))
    assert few and many and few.ci95 and many.ci95
    assert np.diff(many.ci95) < np.diff(few.ci95)


def test_gap_needs_an_oracle_ahead_of_farthest() -> None:
    assert gap_closed(objects([0.8], oracle=0.7)) is None
    assert gap_closed([{"auc": {"policy": 0.8}}]) is None
    assert gap_closed([]) is None
    alone = gap_closed(objects([0.8]))
    assert alone is not None and alone.ci95 is None


def test_gaps_prefer_what_was_reported() -> None:
    evaluation = {
        "auc": {"policy": 0.8, "farthest": 0.7, "oracle": 0.9, "random": 0.6},
        "gap_closed": {"value": 0.58, "ci95": [0.51, 0.65]},
    }
    gaps = gaps_of(evaluation)
    assert gaps["policy"] == (0.58, [0.51, 0.65])
    assert gaps["random"] == (pytest.approx(-0.5), None)


def test_paired_difference_needs_two_standard_errors() -> None:
    rows = [{"auc": {"policy": 0.8 + d, "blind": 0.8}} for d in (0.010, 0.012, 0.011, 0.009)]
    clear = paired(rows, "policy", "blind")
    assert clear is not None and clear.significant and clear.wins == 4
    noisy = [{"auc": {"policy": 0.8 + d, "blind": 0.8}} for d in (0.05, -0.05, 0.04, -0.03)]
    found = paired(noisy, "policy", "blind")
    assert found is not None and not found.significant
    assert paired([{"auc": {"policy": 0.8}}], "policy", "blind") is None


def test_folder_meshes_alone_in_their_family_share_a_group() -> None:
    groups = by_family([{"source": "folder"}, {"family": "torus"}, {"source": "folder"}])
    assert {name: len(items) for name, items in groups.items()} == {"single meshes": 2, "torus": 1}
