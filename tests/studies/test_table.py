"""The table for people and for programs says the same."""

import csv
from dataclasses import replace

import pytest
from PIL import Image

from lnas.studies.picture import score_picture
from lnas.studies.plan import RANDOM
from lnas.studies.results import Result
from lnas.studies.summary import summarise
from lnas.studies.table import LEGEND, columns, markdown, write_tables
from lnas.tasks import PERPLEXITY


def result(method, seed, accuracy, training=1):
    return Result(method, seed, training, accuracy, 2000, 2_500_000, 60.0, 30.0, "hash", "folder")


RESULTS = [
    result("DARTS", 0, 0.97), result("DARTS", 1, 0.95), result("GDAS", 0, 0.98),
    result("GDAS", 1, 0.97), result(RANDOM, 0, 0.90), result(RANDOM, 1, 0.94),
]  # fmt: skip
ROWS = summarise(RESULTS, "DARTS")


def test_the_table_is_markdown_and_every_training_is_in_the_csv(tmp_path):
    write_tables(tmp_path, RESULTS, ROWS, ["margin line"], "DARTS")
    text = (tmp_path / "table.md").read_text()
    assert text.startswith(markdown(ROWS, "DARTS"))
    # Paired: differences of 1 and 2 points, their standard error 0.5.
    assert "| GDAS | 2 | 97.50 ± 0.71 % | 1 | +5.98 % | +1.50 ± 0.50 | 2,000 | 2.50 M |" in text
    assert "margin line" in text
    assert LEGEND in text
    with (tmp_path / "results.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in found] == [r.score for r in RESULTS]
    with (tmp_path / "table.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["method"] for row in found] == ["DARTS", "GDAS", RANDOM]
    assert float(found[1]["difference"]) == ROWS[1].difference
    assert found[0]["difference"] == ""


@pytest.mark.parametrize(
    ("results", "absent"),
    [
        (RESULTS[:2], {"vs DARTS", "over random", "retraining"}),
        (RESULTS[:4], {"over random", "retraining"}),
        ([*RESULTS, result("DARTS", 0, 0.96, training=2)], set()),
    ],
)
def test_columns_without_a_word_are_left_out(results, absent):
    every = {"vs DARTS", "over random", "retraining"}
    assert every - set(columns(summarise(results, "DARTS"), "DARTS")) == absent


def test_the_picture_has_room_for_every_method(tmp_path):
    heights = []
    for rows in (ROWS[:1], ROWS):
        score_picture(RESULTS, rows, ROWS[-1], tmp_path / "table.png")
        with Image.open(tmp_path / "table.png") as picture:
            heights.append(picture.height)
    assert heights[0] < heights[1]


def test_the_table_has_the_unit_of_its_measure(tmp_path):
    results = [replace(one, score=100 * one.score, measure=PERPLEXITY) for one in RESULTS]
    rows = summarise(results, "DARTS")
    write_tables(tmp_path, results, rows, reference="DARTS")
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("| method | n | test perplexity | ")
    assert "| GDAS | 2 | 97.50 ± 0.71 | 3 | -5.98 % | +1.50 ± 0.50 | 2,000 | 2.50 M |" in text
    assert (tmp_path / "results.csv").read_text().startswith("method,seed,training,perplexity,")
    score_picture(results, rows, rows[-1], tmp_path / "table.png")
