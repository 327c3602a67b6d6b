"""Training plots: which logged series go where, and which pairs share a colour."""

from gimbal_nbv.report.sample import sample_training
from gimbal_nbv.report.training_figures import training_figures


def test_series_are_sorted_into_plots_and_blind_twins_are_dashed() -> None:
    figures = {figure.id: figure for figure in training_figures(sample_training())}
    assert list(figures) == ["losses", "validation", "rates"]
    sighted, blind = figures["losses"].data
    assert (sighted["name"], blind["name"]) == ("policy", "blind")
    assert (sighted["line"]["dash"], blind["line"]["dash"]) == ("solid", "dash")
    assert sighted["line"]["color"] == blind["line"]["color"]
    assert len(figures["rates"].data) == 1, "a rate all groups share is drawn once"


def test_steps_without_a_number_are_left_out() -> None:
    figures = training_figures({"steps": [1, 2, 3], "values": {"val/auc": [None, 0.5, None]}})
    assert [figure.id for figure in figures] == ["validation"]
    assert figures[0].data[0]["x"] == [2.0]


def test_nothing_trained_draws_nothing() -> None:
    assert training_figures({}) == []
    assert training_figures({"steps": [1], "values": {"lr": [None]}}) == []
