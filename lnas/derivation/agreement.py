"""How far criteria agree: on the edges of two cells, and on the order of operations on an edge."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics.functional import spearman_corrcoef

from lnas.genotype import Genotype
from lnas.spaces import SearchSpace


def agreement(space: SearchSpace, one: Genotype, other: Genotype) -> float:
    """Return the share of edges on which two cells have the same: an operation, or nothing."""
    tables = space.one_hot(one), space.one_hot(other)
    same = [(tables[0][kind] == tables[1][kind]).all(-1) for kind in space.cell_types]
    return float(torch.cat(same).float().mean())


def rank_correlations(
    gates: Mapping[str, Tensor], strengths: Mapping[str, Tensor]
) -> dict[str, list[float | None]]:
    """Return Spearman's rank correlation of gates and strengths on each edge, per cell type.

    None where fewer than two operations have both, or all of them are equal.

    Args:
        gates: (edges, ops) per cell type.
        strengths: The same; -inf where there is no candidate.
    """
    return {
        kind: [_spearman(g, s) for g, s in zip(gates[kind], table, strict=True)]
        for kind, table in strengths.items()
    }


def _spearman(one: Tensor, other: Tensor) -> float | None:
    known = one.isfinite() & other.isfinite()
    x, y = one[known].double(), other[known].double()
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return None
    return float(spearman_corrcoef(x, y))
