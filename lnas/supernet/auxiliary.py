"""The auxiliary skip of an edge: it carries the gradient, so that no gate has to grow for that.

Chu et al., "DARTS-: Robustly Stepping out of Performance Collapse Without Indicators", ICLR 2021,
arXiv:2009.01027, equation 5: an edge's output is beta * skip(x) + sum_o gate[o] * o(x), and beta
falls to 0 in the course of the search. To both ways through a cell it is one operation more, in a
last column of the gates. It is not searched, and a derived child never has it.
"""

import dataclasses

import torch
from torch import Tensor

from lnas.relaxations import CellGates

AUXILIARY = "auxiliary_skip"


def with_auxiliary(gates: CellGates, weight: Tensor, derived: bool) -> CellGates:
    """Return the gates of a cell with the auxiliary skip as their last column.

    Args:
        gates: Gates (edges, ops) and what goes with them.
        weight: Beta, a scalar.
        derived: The gates are those of a derived child: its edges have no auxiliary skip.
    """
    table, active = gates.gates, gates.active
    column = weight.to(table).expand(len(table), 1)
    if active is not None or derived:
        known = torch.ones(table.shape, dtype=torch.bool) if active is None else active
        # Where nothing is active there is no edge.
        runs = known.any(-1, keepdim=True) & (not derived)
        active = torch.cat([known, runs], 1)
    return dataclasses.replace(gates, gates=torch.cat([table, column], 1), active=active)
