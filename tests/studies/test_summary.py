"""The rows of the table against numbers worked out by hand."""

import math
from statistics import stdev

import pytest

from lnas.studies.plan import RANDOM
from lnas.studies.results import Result
from lnas.studies.summary import Row, margin, summarise
from lnas.tasks import PERPLEXITY


def result(method, seed, accuracy, training=1, parameters=1000):
    return Result(
        method, seed, training, accuracy, parameters, 2_500_000, 60.0, 30.0, "hash", "folder"
    )


RESULTS = [
    result("DARTS", 0, 0.97), result("DARTS", 1, 0.95, parameters=3000),
    result("one", 0, 0.5),
    result(RANDOM, 0, 0.90), result(RANDOM, 1, 0.94),
]  # fmt: skip


def rows(results=RESULTS, reference="DARTS"):
    return {row.method: row for row in summarise(results, reference)}


def test_rows_hold_means_and_sample_deviations_over_searches():
    found = rows()
    assert list(found) == ["DARTS", "one", RANDOM]
    darts = found["DARTS"]
    assert (darts.searches, darts.parameters, darts.search_seconds) == (2, 2000, 60)
    assert darts.score == pytest.approx(0.96)
    assert found[RANDOM].std_search == pytest.approx(0.02 * math.sqrt(2))
    assert math.isnan(found["one"].std_search)
    assert math.isnan(darts.std_training)


def test_the_spreads_over_searches_and_over_trainings_are_kept_apart():
    # Cells 0.9 and 0.7; within them deviations of 0.01 and 0.03 around the mean, twice each.
    trainings = [
        result("a", 0, 0.91, 1), result("a", 0, 0.89, 2),
        result("a", 1, 0.73, 1), result("a", 1, 0.67, 2),
    ]  # fmt: skip
    row = rows(trainings, "a")["a"]
    assert (row.searches, row.score) == (2, pytest.approx(0.8))
    assert row.std_search == pytest.approx(stdev([0.9, 0.7]))
    # Variances 0.0002 and 0.0018, one degree of freedom each.
    assert row.std_training == pytest.approx(math.sqrt((0.0002 + 0.0018) / 2))


def test_equal_means_share_a_rank_and_the_random_cells_are_ranked_too():
    results = [result("a", 0, 0.9), result("b", 0, 0.9), result(RANDOM, 0, 0.95)]
    assert [row.rank for row in summarise([*results, result("c", 0, 0.1)], "a")] == [2, 2, 1, 4]


def test_improvement_is_relative_to_the_accuracy_of_random_cells():
    found = rows()
    assert found["DARTS"].improvement == pytest.approx((0.96 - 0.92) / 0.92)
    assert math.isnan(found[RANDOM].improvement)
    assert math.isnan(rows(RESULTS[:3])["DARTS"].improvement)


def test_differences_are_paired_by_seed():
    mine = [result("mine", 0, 0.98), result("mine", 1, 0.99), result("mine", 2, 0.2)]
    row = rows([*RESULTS, *mine])["mine"]
    # 0.01 and 0.04 over the two seeds that both have; seed 2 has no partner.
    assert row.pairs == 2
    assert row.difference == pytest.approx(0.025)
    assert row.difference_error == pytest.approx(stdev([0.01, 0.04]) / math.sqrt(2))
    found = rows()
    assert found["one"].difference == pytest.approx(-0.47)
    assert math.isnan(found["one"].difference_error)  # one pair has no error
    assert math.isnan(found["DARTS"].difference)
    assert math.isnan(found[RANDOM].difference)  # drawn, not searched: nothing to pair


def test_the_margin_counts_the_deviations_of_the_random_cells():
    found = rows()
    # (96 - 92) points / 2.8284 points
    assert margin(found["DARTS"], found[RANDOM]) == (
        "DARTS +4.00 points over 2 random cells: +1.41 standard deviations"
    )
    assert "-42.00 points" in margin(found["one"], found[RANDOM])
    assert "no standard deviation" in margin(found["DARTS"], found["one"])


def test_exact_random_choice_stands_in_for_drawn_cells():
    exact = Row("random choice", 4096, 0.9, 0.05, math.nan, 10, 20)
    *_, one, last = summarise(RESULTS[:3], "DARTS", {"DARTS": exact, "one": exact})
    assert (last.method, last.rank, one.rank) == ("random choice", 2, 3)
    assert one.improvement == pytest.approx(-0.4 / 0.9)
    assert margin(one, last).startswith("one -40.00 points over random choice: -8.00")


def test_smaller_is_better_where_the_measure_says_so():
    def perplexity(method, seed, value):
        return Result(method, seed, 1, value, 10, 20, 1.0, 1.0, "hash", "folder", PERPLEXITY)

    results = [perplexity("a", 0, 60.0), perplexity("b", 0, 90.0), perplexity(RANDOM, 0, 80.0)]
    found = rows(results, "a")
    assert [found[name].rank for name in ("a", RANDOM, "b")] == [1, 2, 3]
    assert found["a"].improvement == pytest.approx(0.25)
    assert found["b"].improvement == pytest.approx(-0.125)
    assert found["b"].difference == pytest.approx(30)
    assert margin(found["a"], found[RANDOM]).startswith("a -20.00 perplexity over 1 random cells")
