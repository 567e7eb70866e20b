"""The table is read from either file, and what is no table is refused in one line."""

import csv
import gzip

import numpy as np
import pytest

from lnas.benchmarks import NasBench201Benchmark
from lnas.benchmarks.table import LATENCY, TABLE, TEXT, locate, read_table, write_table
from lnas.errors import InputError


def write_csv(path, made):
    header = ["index", *made]
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in range(len(made["ops"])):
            cells = [made[name][row] for name in header[2:]]
            writer.writerow([row, "".join(map(str, made["ops"][row])), *cells])


def test_the_text_says_the_same_as_the_arrays(small_table, columns):
    arrays = read_table(small_table)
    write_csv(small_table / TEXT, columns())
    (small_table / TABLE).unlink()
    text = read_table(small_table)
    assert arrays.keys() == text.keys()
    for name, values in arrays.items():
        np.testing.assert_allclose(values, text[name])


def test_operations_are_found_by_name_whatever_their_order(tmp_path, columns):
    made = columns()
    swapped = np.array(["skip_connect", "none", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"])
    np.savez(tmp_path / TABLE, **made | {"ops": np.array([1, 0, 2, 3, 4])[made["ops"]]},
             op_names=swapped)  # fmt: skip
    np.testing.assert_array_equal(read_table(tmp_path)["ops"], made["ops"])


def test_the_folder_is_found_beside_other_data_and_by_the_environment(
    small_table, monkeypatch, columns
):
    assert locate(small_table) == locate(small_table.parent) == small_table
    monkeypatch.setenv("LNAS_DATA", str(small_table.parent))
    assert locate(None) == small_table
    monkeypatch.delenv("LNAS_DATA")
    with pytest.raises(InputError, match="LNAS_DATA"):
        locate(None)
    with pytest.raises(InputError, match=r"lnas\.benchmarks\.convert"):
        locate(small_table.parent.parent)


def test_a_damaged_table_is_refused(small_table, columns):
    path = small_table / TABLE
    whole = path.read_bytes()
    made = columns()
    made.pop("c100_test_200")
    path.write_bytes(whole[:100])
    with pytest.raises(InputError, match="is not a table"):
        NasBench201Benchmark(small_table)
    write_table(small_table, made)
    with pytest.raises(InputError, match="it has no c100_test_200"):
        NasBench201Benchmark(small_table)
    write_table(small_table, columns() | {"c100_test_200": np.zeros(3)})
    with pytest.raises(InputError, match="differ in length"):
        NasBench201Benchmark(small_table)
    write_table(small_table, columns() | {"ops": np.full((4, 6), 7, dtype=np.uint8)})
    with pytest.raises(InputError, match="is not a table"):
        NasBench201Benchmark(small_table)


def test_latency_of_another_table_is_refused(small_table):
    np.savez(small_table / LATENCY, phone=np.arange(4.0))
    assert NasBench201Benchmark(small_table).genotype(0)
    np.savez(small_table / LATENCY, phone=np.arange(5.0))
    with pytest.raises(InputError, match="has not the 4 rows"):
        NasBench201Benchmark(small_table)


def test_no_pickle_is_opened(small_table):
    np.savez(small_table / TABLE, ops=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="is not a table"):
        NasBench201Benchmark(small_table)
