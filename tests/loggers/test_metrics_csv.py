"""metrics.csv is exact, complete after a kill, and rewinds to what a checkpoint knows."""

import errno
import math

import pandas
import pytest

from lnas.errors import InputError
from lnas.loggers import MetricsCsv, read_rows

ROWS = [
    {"search/step": 1, "search/loss_weights": 0.1 + 0.2},
    {"search/step": 2, "search/loss_weights": 1e-300, "search/lr_weights": 1 / 3},
    {"search/step": 2, "search/held_out_loss": 2.5},
]


def written(folder, rows):
    logger = MetricsCsv(folder)
    for row in rows:
        logger.log_metrics(row)
    return logger


def test_pandas_reads_every_number_back(tmp_path):
    written(tmp_path, ROWS)
    # As texts: pandas 2 rounds the last digit of a float by default.
    table = pandas.read_csv(tmp_path / "metrics.csv", dtype=str)
    assert [
        {k: float(v) for k, v in row.items() if isinstance(v, str)}
        for row in table.to_dict("records")
    ] == ROWS
    assert pandas.read_csv(tmp_path / "metrics.csv")["search/step"].dtype.kind == "i"


def test_read_rows_is_the_inverse_of_writing(tmp_path):
    rows = [*ROWS, {"search/step": 3, "search/loss_weights": math.inf}]
    written(tmp_path, rows)
    assert read_rows(tmp_path / "metrics.csv") == rows
    assert isinstance(read_rows(tmp_path / "metrics.csv")[0]["search/step"], int)


def test_columns_stand_in_order_of_appearance_and_by_name_within_a_row(tmp_path):
    written(tmp_path, [{"b": 1.0, "a": 1.0}, {"z": 1.0, "c": 1.0, "a": 2.0}])
    header, first, second = (tmp_path / "metrics.csv").read_text().splitlines()
    assert (header, first, second) == ("a,b,c,z", "1.0,1.0,,", "2.0,,1.0,1.0")


def test_each_row_is_in_the_file_before_the_next_so_that_a_kill_loses_none(tmp_path):
    logger = MetricsCsv(tmp_path)
    for number, row in enumerate(ROWS, start=1):
        logger.log_metrics(row)
        assert read_rows(tmp_path / "metrics.csv") == ROWS[:number]


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_rewound_file_ends_as_if_never_interrupted(tmp_path, kept):
    later = [{"search/step": 3, "arch/normal/entropy": 2.0}, {"search/step": 4, "a": 1.5}]
    written(tmp_path / "whole", ROWS + later)
    # The attempt that is killed has written rows, and a column, that the checkpoint does not know.
    written(tmp_path / "killed", [*ROWS, {"search/step": 9, "lost": 1.0}])
    with (tmp_path / "killed/metrics.csv").open("a") as torn:
        torn.write("12,3.")
    resumed = MetricsCsv(tmp_path / "killed")
    resumed.rewind(kept)
    assert resumed.rows == kept
    for row in (ROWS + later)[kept:]:
        resumed.log_metrics(row)
    assert (tmp_path / "killed/metrics.csv").read_bytes() == (
        tmp_path / "whole/metrics.csv"
    ).read_bytes()


def test_without_rewinding_a_new_attempt_starts_anew(tmp_path):
    written(tmp_path, ROWS)
    written(tmp_path, ROWS[:1])
    assert read_rows(tmp_path / "metrics.csv") == ROWS[:1]


def test_rewinding_refuses_a_file_that_lost_rows(tmp_path):
    written(tmp_path, ROWS)
    with pytest.raises(InputError, match=r"has 3 rows but the checkpoint knows of 5"):
        MetricsCsv(tmp_path).rewind(5)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    logger = written(tmp_path, ROWS[:1])

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.open", full)
    with pytest.raises(InputError, match=r"metrics\.csv: No space left on device; choose"):
        logger.log_metrics(ROWS[0])
