"""The table of a study against numbers worked out by hand."""

import csv
import math

import pytest

from lnas.studies.table import Result, margin, markdown, summarise, write_tables


def result(method, seed, accuracy, parameters=1000):
    return Result(method, seed, accuracy, parameters, 2_500_000, "hash", "folder")


RESULTS = [
    result("DARTS", 0, 0.97), result("DARTS", 1, 0.95, 3000),
    result("random cells", 0, 0.90), result("random cells", 1, 0.94),
    result("one", 0, 0.5),
]  # fmt: skip


def test_rows_hold_means_and_sample_deviations():
    darts, random, one = summarise(RESULTS)
    assert (darts.method, darts.runs, darts.parameters) == ("DARTS", 2, 2000)
    assert darts.accuracy == pytest.approx(0.96)
    assert random.deviation == pytest.approx(0.02 * math.sqrt(2))
    assert math.isnan(one.deviation)


def test_the_margin_counts_the_deviations_of_the_random_cells():
    darts, random, one = summarise(RESULTS)
    # (96 - 92) points / 2.8284 points
    assert margin(darts, random) == (
        "DARTS +4.00 points over 2 random cells: +1.41 standard deviations"
    )
    assert "-42.00 points" in margin(one, random)
    assert "no standard deviation" in margin(darts, one)


def test_the_table_is_markdown_and_every_run_is_in_the_csv(tmp_path):
    write_tables(tmp_path, RESULTS, ["margin line"])
    text = (tmp_path / "table.md").read_text()
    assert text.startswith(markdown(summarise(RESULTS)))
    assert "| DARTS | 2 | 96.00 ± 1.41 % | 2,000 | 2.50 M |" in text
    assert "| one | 1 | 50.00 % |" in text
    assert "margin line" in text
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [r.accuracy for r in RESULTS]
