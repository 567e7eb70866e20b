"""Agreement of cells, and rank correlations against pandas."""

import pandas as pd
import pytest
import torch

from lnas.derivation.agreement import agreement, rank_correlations
from lnas.genotype import Genotype
from lnas.spaces import NasBench201Space


def test_agreement_counts_edges_with_the_same_operation_or_none_at_all():
    space = NasBench201Space()
    skip, conv = ("skip_connect", 0), ("nor_conv_3x3", 0)
    one = Genotype("nasbench201", {"cell": [[skip], [conv], [skip, ("nor_conv_1x1", 2)]]})
    other = Genotype("nasbench201", {"cell": [[skip], [skip], [skip]]})
    assert agreement(space, one, one) == 1
    assert agreement(space, one, other) == pytest.approx(4 / 6)  # 2_0 and 3_2 differ


def test_rank_correlations_are_those_of_spearman():
    torch.manual_seed(0)
    gates, strengths = torch.rand(6, 5), torch.randn(6, 5).double()
    strengths[0, 1], strengths[1, :4], strengths[2] = -torch.inf, -torch.inf, 1.0
    gates[3, 0] = gates[3, 1]
    found = rank_correlations({"cell": gates}, {"cell": strengths})["cell"]
    assert found[1] is None  # a single candidate
    assert found[2] is None  # all are equally strong
    for row in (0, 3, 4, 5):
        known = strengths[row].isfinite()
        one, other = (pd.Series(t[row][known].numpy()) for t in (gates, strengths))
        assert found[row] == pytest.approx(one.corr(other, method="spearman"))
