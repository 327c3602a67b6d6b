"""Whatever a config or a stage holds must fit MLflow's limits without two things becoming one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.tracking import flattening


def test_a_config_becomes_dotted_params() -> None:
    tree = {"train": {"lr": 1e-3, "betas": [0.9, 0.99]}, "name": None, "none": {}}
    assert flattening.params(tree) == {
        "train.lr": "0.001",
        "train.betas": "[0.9, 0.99]",
        "name": "None",
        "none": "{}",
    }


def test_numbers_of_nested_metrics_are_found_and_words_left_out() -> None:
    tree = {
        "auc": {"policy": np.float32(0.5), "note": "good"},
        "gap": {"value": 1, "ci95": [0.25, 0.75]},
        "passed": True,
        "missing": None,
    }
    assert flattening.metrics(tree) == {
        "auc.policy": 0.5,
        "gap.value": 1.0,
        "gap.ci95.0": 0.25,
        "gap.ci95.1": 0.75,
        "passed": 1.0,
    }


def test_infinity_becomes_the_largest_double_because_databases_refuse_it() -> None:
    values = flattening.metrics({"up": math.inf, "down": -math.inf, "nan": math.nan})
    assert values["up"] == -values["down"] == pytest.approx(1.79e308, rel=0.01)
    assert math.isnan(values["nan"])


def test_a_long_value_is_cut_and_two_of_them_stay_different() -> None:
    one, two = ("x" * 7000 + end for end in "ab")
    cut_one, cut_two = (flattening.cut(text, 6000) for text in (one, two))
    assert len(cut_one) == len(cut_two) == 6000
    assert cut_one != cut_two


@settings(deadline=None)
@given(st.text(min_size=1, max_size=400))
def test_every_name_is_cleaned_to_one_mlflow_accepts(name: str) -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    clean = flattening.clean_name(name)
    assert len(clean) <= flattening.MAX_NAME
    validation._validate_metric_name(clean)


@pytest.mark.parametrize("name", ["loss", "val/auc", "gap_closed.value", "lr group 1"])
def test_ordinary_names_are_left_alone(name: str) -> None:
    assert flattening.clean_name(name) == name


def test_cleaned_names_stay_different() -> None:
    assert flattening.clean_name("a@b") != flattening.clean_name("a!b")


def test_names_of_files_that_are_no_unicode_do_not_break_anything() -> None:
    assert flattening.params({"file": "caf\udce9.obj"}) == {"file": "caf?.obj"}


def test_chunks_cover_everything_in_order() -> None:
    assert [list(part) for part in flattening.chunks(range(5), 2)] == [[0, 1], [2, 3], [4]]
