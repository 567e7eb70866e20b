"""The benchmark answers for the cell that was asked for; the real table has its known numbers."""

import itertools
import random

import numpy as np
import pytest

from lnas.benchmarks import NasBench201Benchmark
from lnas.benchmarks.nasbench201 import operations_of
from lnas.benchmarks.table import LATENCY, NAMES
from lnas.costs import network_cost
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.networks import NasBench201Network
from lnas.spaces import zoo
from lnas.tasks import ImageExamples

WITHOUT_NONE = NAMES[1:]
CONV = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
# The same function as CONV: the skip comes first, or the convolution is on the direct edge.
ALSO_CONV = "|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"
DIRECT = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"


def test_a_record_has_its_units(small_table):
    np.savez(small_table / LATENCY, phone=np.array([1.5, 2.5, 3.5, 4.5]))
    found = NasBench201Benchmark(small_table).query(Genotype.from_text(CONV), "cifar100")
    assert (found.row, found.dataset) == (2, "cifar100")
    assert found.test_accuracy == 0.71
    assert found.validation_accuracy == 0.61
    assert (found.parameters, found.multiply_adds) == (3001, 27001)
    assert found.latency == {"phone": 3.5}
    assert found.genotype == Genotype.from_text(CONV)


def test_a_cell_that_is_not_tabulated_is_answered_by_an_isomorphic_one(small_table):
    benchmark = NasBench201Benchmark(small_table)
    known = benchmark.query(Genotype.from_text(CONV))
    asked = Genotype.from_text(ALSO_CONV)
    assert asked != Genotype.from_text(CONV)
    assert asked.canonical() == Genotype.from_text(CONV).canonical()
    assert benchmark.query(asked) == known


def test_unknown_cells_and_data_sets_are_refused(small_table):
    benchmark = NasBench201Benchmark(small_table)
    with pytest.raises(InputError, match=r"avg_pool_3x3~0.* is not in the table of 4 cells"):
        benchmark.query(Genotype.from_text(DIRECT.replace("nor_conv_3x3", "avg_pool_3x3")))
    with pytest.raises(InputError, match="not of darts"):
        benchmark.query(zoo.load("darts_v2"))
    with pytest.raises(InputError, match="use cifar10, cifar100, imagenet16"):
        benchmark.query(Genotype.from_text(CONV), "imagenet")
    with pytest.raises(InputError, match="'conv'"):
        benchmark.statistics(operations=("conv",))
    with pytest.raises(InputError, match="No cell"):
        benchmark.statistics(operations=("none",))


def test_operations_count_cells_as_the_authors_program_does():
    c, s, a = "nor_conv_3x3", "skip_connect", "avg_pool_3x3"
    known = {(c, c, c, s, c, c): 11668, (s,) * 6: 3906, (c, c, a, s, c, s): 11791}
    for names, index in known.items():
        parts = [f"|{names[0]}~0|", f"|{names[1]}~0|{names[2]}~1|"]
        text = "+".join([*parts, f"|{names[3]}~0|{names[4]}~1|{names[5]}~2|"])
        carried = operations_of(Genotype.from_text(text))
        assert sum(number * 5 ** (5 - place) for place, number in enumerate(carried)) == index


def test_statistics_are_exact_over_the_cells_of_a_space(small_table):
    found = NasBench201Benchmark(small_table).statistics("cifar10", WITHOUT_NONE)
    assert (found.cells, found.mean, found.best) == (2, 0.55, 0.6)
    assert found.std == pytest.approx(0.05)  # of the whole set
    assert (found.parameters, found.multiply_adds) == (1500, 13500)


@pytest.mark.parametrize(
    ("dataset", "best", "all_skips"),
    [
        ("cifar10", 0.943733, 0.542967),
        ("cifar100", 0.735133, 0.156067),
        ("imagenet16", 0.473111, 0.163222),
    ],
)
def test_the_real_table_has_its_known_extremes(benchmark_table, dataset, best, all_skips):
    assert len(benchmark_table) == 15_625
    assert benchmark_table.statistics(dataset).best == pytest.approx(best, abs=1e-6)
    cell = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"  # noqa: E501
    found = benchmark_table.query(Genotype.from_text(cell), dataset)
    assert (found.row, found.test_accuracy) == (1835, all_skips)
    assert len(found.latency) == 27


def test_random_choice_from_the_real_table_has_its_exact_mean(benchmark_table):
    whole = benchmark_table.statistics()
    assert (whole.cells, round(whole.mean, 4), round(whole.std, 4)) == (15_625, 0.8706, 0.1293)
    narrow = benchmark_table.statistics(operations=WITHOUT_NONE)
    assert (narrow.cells, round(narrow.mean, 4), round(narrow.std, 4)) == (4096, 0.8945, 0.0613)


def test_every_cell_of_the_space_is_in_the_real_table_once(benchmark_table):
    draw = random.Random(0)
    for ops in draw.sample(list(itertools.product(NAMES, repeat=6)), 200):
        a, b, c, d, e, f = ops
        asked = Genotype.from_text(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")
        assert benchmark_table.query(asked).genotype == asked


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cells", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_costs_of_random_cells_are_those_of_the_real_table(benchmark_table, cells):
    """Two of the three data sets alternate; the benchmark counts the classifier's bias, too."""
    seen = set()
    for number, row in enumerate(random.Random(1).sample(range(15_625), cells)):
        dataset, size, classes = (("cifar10", 32, 10), ("imagenet16", 16, 120))[number % 2]
        cell = benchmark_table.genotype(row)
        examples = ImageExamples(classes, (3, size, size))
        cost = network_cost(NasBench201Network(cell, num_classes=classes), examples)
        found = benchmark_table.query(cell, dataset)
        assert found.parameters == cost.parameters
        assert found.multiply_adds == cost.multiply_adds + classes
        seen.add(found.multiply_adds)
    assert len(seen) > 8  # of 28 sizes on each data set
