"""Curves: where logged names go, and where rows stand on the axis of epochs."""

import math

import pytest

from lnas.report.curves import Curve, Place, curves_of, evenly, place_of, rounded, thinned
from lnas.report.run_files import RunFiles, read_run
from lnas.tasks import ACCURACY, PERPLEXITY


@pytest.mark.parametrize(
    ("name", "panel", "series", "percent"),
    [
        ("search/loss_weights", "Loss", "weights’ images", False),
        ("search/held_out_accuracy", "Accuracy", "supernet, held out", True),
        ("eval/val_loss", "Loss", "validation", False),
        ("search/lr_architecture", "Learning rate: architecture", "", False),
        ("arch/normal/entropy", "Entropy of an edge (nats)", "normal cell", False),
        ("search/fisher_trace", "Fisher trace", "", False),
        ("search/last_cell_cost_weights", "Last cell cost", "weights’ images", False),
        ("search/true_accuracy", "True accuracy of the epoch’s cell", "benchmark", True),
        ("search/loss_minus_entropy_weights", "Loss minus entropy", "weights’ images", False),
    ],
)
def test_a_logged_name_has_its_panel(name, panel, series, percent):
    place = place_of(name, ACCURACY)
    assert (place.panel, place.series, place.percent) == (panel, series, percent)


@pytest.mark.parametrize("name", ["search/step", "eval/test_accuracy", "search/final_child_loss"])
def test_places_and_results_are_no_curves(name):
    assert place_of(name, ACCURACY) is None


def test_perplexity_is_the_result_of_a_language_search(made):
    place = place_of("search/held_out_perplexity", PERPLEXITY)
    assert (place.panel, place.percent) == ("Perplexity", False)
    panels = {curve.place.panel for curve in curves_of(read_run(made.text, "text"))}
    assert {"Perplexity", "Loss", "Entropy of an edge (nats)"} <= panels


def test_rows_stand_where_their_epochs_end():
    rows = (
        {"search/step": 5, "search/epoch": 0, "search/loss_weights": 3.0},
        {"search/step": 10, "search/epoch": 0, "search/loss_weights": 2.0},
        {"search/step": 20, "search/epoch": 1, "search/loss_weights": 1.0},
        {"search/step": 20, "search/final_child_loss": 4.0},
    )
    (curve,) = curves_of(RunFiles("run", "search", rows=rows))
    assert (curve.x, curve.y) == ((0.5, 1.0, 2.0), (3.0, 2.0, 1.0))


def test_every_signal_of_a_real_search_is_a_curve_of_its_values(made):
    run = read_run(made.images, "run")
    curves = {(one.place.panel, one.place.series): one for one in curves_of(run)}
    logged = [row["search/fisher_trace"] for row in run.rows if "search/fisher_trace" in row]
    curve = curves["Fisher trace", ""]
    assert curve.y[-1] == logged[-1]
    assert curve.x[-1] == 4
    assert curves["Learning rate: weights", ""].place.section == "Learning rates and steps"


def test_thinning_keeps_the_ends_and_rounding_makes_gaps_of_no_numbers():
    place = Place("section", "panel", "")
    curve = Curve(place, tuple(map(float, range(1000))), tuple(map(float, range(1000))))
    short = thinned(curve, 7)
    assert len(short.x) == 7
    assert (short.x[0], short.x[-1]) == (0.0, 999.0)
    assert short.x == short.y
    assert thinned(short, 7) is not None
    assert list(evenly(5, 1)) == [4]
    assert rounded([1 / 3, math.nan, math.inf]) == [0.33333, None, None]
