"""The NAS-Bench-201 space: six edges, and the best operation on each."""

from itertools import product

import pytest
import torch

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import NasBench201Space, zoo

SPACE = NasBench201Space()


def test_cell_has_the_benchmarks_edges_and_operations():
    assert [edge.name for edge in SPACE.edges] == ["1_0", "2_0", "2_1", "3_0", "3_1", "3_2"]
    assert SPACE.cell_types == ("cell",)
    assert SPACE.operations == (
        "none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3",
    )  # fmt: skip


def test_scores_give_the_cell_of_the_best_operations():
    scores = torch.zeros(6, 5)
    for row, column in enumerate((3, 0, 1, 4, 0, 2)):
        scores[row, column] = 1
    genotype = SPACE.derive({"cell": scores})
    assert genotype.to_text() == (
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    )


def test_ties_go_to_none():
    assert SPACE.derive({"cell": torch.zeros(6, 5)}).cells["cell"] == ((), (), ())


def test_one_hot_tables_stand_one_to_one_for_cells():
    small = NasBench201Space(("none", "skip_connect"))
    found = set()
    for columns in product((0, 1), repeat=6):
        table = torch.eye(2)[list(columns)]
        genotype = small.derive({"cell": table})
        found.add(genotype)
        torch.testing.assert_close(small.project({"cell": table})["cell"], table)
        torch.testing.assert_close(small.one_hot(genotype)["cell"][:, 1], table[:, 1])
    assert len(found) == 2**6


def test_genotype_of_another_space_is_refused():
    with pytest.raises(InputError, match="space darts; this search needs nasbench201"):
        SPACE.validate(zoo.load("darts_v2"))
    with pytest.raises(InputError, match="not offered"):
        NasBench201Space(("none", "skip_connect")).validate(
            Genotype("nasbench201", {"cell": [[("nor_conv_1x1", 0)], [], []]})
        )
