"""Which NAS-Bench-201 cells are one network; the whole space where the data is there."""

import csv
import gzip
import random
from itertools import product

import pytest

from lnas.genotype import Genotype
from lnas.genotype.isomorphism import _expression, _first_cells
from lnas.spaces import zoo

LETTERS = {
    "n": "none",
    "s": "skip_connect",
    "1": "nor_conv_1x1",
    "3": "nor_conv_3x3",
    "a": "avg_pool_3x3",
}


def cell(letters):
    """Letters stand for the edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2."""
    a, b, c, d, e, f = (LETTERS[letter] for letter in letters)
    return Genotype.from_text(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("3nnnsn", "nnn3nn"),  # a skip after a convolution
        ("3nnnsn", "snnn3n"),  # a skip before it
        ("nnnn3n", "nnnnnn"),  # an operation on nothing
        ("31annn", "nnnnnn"),  # operations that reach no output
    ],
)
def test_cells_of_one_function_share_their_representative(first, second):
    assert cell(first) != cell(second)
    assert cell(first).canonical() == cell(second).canonical()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("3nnn1n", "1nnn3n"),
        ("3nnnnn", "nnn3nn"),
        ("nnn3nn", "nnn1nn"),
        ("3nnnan", "n3nnna"),  # the benchmark counts another node on the way as another cell
    ],
)
def test_different_expressions_keep_apart(first, second):
    assert cell(first).canonical() != cell(second).canonical()


def test_canonical_is_idempotent():
    draw = random.Random(0)
    for _ in range(100):
        some = cell("".join(draw.choice("ns13a") for _ in range(6)))
        assert some.canonical().canonical() == some.canonical()


def test_the_space_has_6466_classes():  # NAS-Bench-201, arXiv:2001.00326
    assert (
        len(_first_cells(("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"))) == 6466
    )


def test_where_nothing_is_an_operation_like_others_there_are_12751_expressions():
    opaque = ("a fifth one", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert len(set(map(_expression, product(opaque, repeat=6)))) == 12751


def test_15284_cells_of_the_space_pass_something_on():
    cells = map(cell, product("ns13a", repeat=6))
    assert sum(0 in some.needed("cell") for some in cells) == 15284


def test_cells_of_other_spaces_stand_for_themselves():
    assert zoo.load("darts_v2").canonical() == zoo.load("darts_v2")


def test_classes_are_those_of_the_benchmark_cell_by_cell(data_root):
    path = data_root / "nasbench201" / "nasbench201.csv.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    classes = {}
    for row in rows:
        found = Genotype.from_text(row["arch"]).canonical().hash
        classes.setdefault(row["structure"], set()).add(found)
    assert len(rows) == 15625
    assert len(classes) == 6466
    assert all(len(found) == 1 for found in classes.values())
    assert len(set.union(*classes.values())) == 6466
