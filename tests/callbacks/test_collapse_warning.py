"""When a cell has collapsed into skip connections, and that it is said."""

import torch

from lnas.callbacks import CollapseWarning
from lnas.callbacks.collapse_warning import is_collapsed
from lnas.genotype import Genotype
from lnas.loggers import read_rows
from lnas.spaces import zoo


def test_more_than_two_skips_of_eight_are_a_collapse():
    genotype = zoo.load("darts_v2")

    def with_skips(count):
        cell = [[("sep_conv_3x3", 0), ("sep_conv_3x3", 1)] for _ in range(4)]
        for node in range(count):
            cell[node][0] = ("skip_connect", 0)
        return Genotype("darts", {"normal": cell, "reduce": genotype.cells["reduce"]})

    assert [is_collapsed(with_skips(n)) for n in (0, 2, 3)] == [False, False, True]


def test_more_than_half_of_a_nasbench201_cell_is_a_collapse():
    def with_skips(count):
        names = ["skip_connect"] * count + ["nor_conv_3x3"] * (6 - count)
        a, b, c, d, e, f = names
        text = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
        return Genotype.from_text(text)

    assert [is_collapsed(with_skips(n)) for n in (3, 4)] == [False, True]


def test_a_collapse_is_warned_of_once_and_logged_each_epoch(
    small_trainer, small_module, small_data, tmp_path, capsys
):
    module = small_module(nodes=4)
    column = module.space.operations.index("skip_connect")
    with torch.no_grad():
        for logits in module.architecture.logits.values():
            logits[:, column] = 9.0
    small_trainer(CollapseWarning(), epochs=2).fit(module, datamodule=small_data)
    assert capsys.readouterr().out.count("COLLAPSE") == 1
    rows = [r for r in read_rows(tmp_path / "metrics.csv") if "arch/collapsed" in r]
    assert [(r["arch/collapsed"], r["arch/normal/skips"]) for r in rows] == [(1, 8), (1, 8)]
