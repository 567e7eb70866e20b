"""Cost tables: what each operation costs on each edge of each cell, and what gates make of it.

Equations 9 to 11 of Xie et al., "SNAS", ICLR 2019, arXiv:1812.09926: the cost of an architecture is
the sum over its edges of the costs of their operations, so under gates an edge is expected to cost
sum_k gate_k * cost_k. The sizes are those of each cell, read from a pass of the supernet that
computes nothing. Only the searched edges count: what stands between them is the same for every
architecture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lnas.costs.counting import run_on_meta
from lnas.costs.operations import operation_cost
from lnas.errors import InputError
from lnas.relaxations import GateSample
from lnas.supernet import Supernet
from lnas.supernet.edges import SearchEdges
from lnas.tasks import Examples

MEASURES = ("parameters", "multiply_adds", "memory_access")
Form = Literal["log", "linear"]


@dataclass(frozen=True)
class CostTable:
    """Parameters, multiply-adds and memory access of every (cell, edge, operation).

    Args:
        costs: Per cell type, (measures, cells, edges, ops), measures in the order of `MEASURES`;
            multiply-adds and memory access (numbers read and written) are those of one image.
    """

    costs: Mapping[str, Tensor]

    def to(self, like: Tensor) -> "CostTable":
        """Return the table on the device and in the kind of a tensor."""
        return CostTable({name: costs.to(like) for name, costs in self.costs.items()})

    def expected(self, gates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what each edge is expected to cost, (measures, cells, edges) per cell type.

        Args:
            gates: Per cell type, (edges, ops), or (cells, edges, ops) for gates of each cell.
        """
        return {name: (costs * gates[name]).sum(-1) for name, costs in self.costs.items()}

    def total(self, gates: Mapping[str, Tensor]) -> Tensor:
        """Return what all searched edges are expected to cost together, (measures,)."""
        sums = [costs.sum((1, 2)) for costs in self.expected(gates).values()]
        return torch.stack(sums).sum(0)

    def penalties(self, gates: Mapping[str, Tensor], form: Form) -> dict[str, Tensor]:
        """Return the penalty of each edge, (cells, edges) per cell type.

        It is divided by the number of cells of the type, so that the sum over cells is their mean:
        the penalty of deeper supernets does not grow. (The released code has the numbers for 8
        cells, 6 and 2, written down.)

        Args:
            gates: As for `expected`.
            form: "linear" is the released weighting of the three costs; "log" the mean of their
                logarithms, where a cost below 1 counts as 1 and gets no gradient.
        """
        penalties = {}
        for name, costs in self.expected(gates).items():
            if form == "linear":
                parameters, multiply_adds, memory_access = costs
                each = 0.43 * (2 * parameters + multiply_adds / 4000 + memory_access / 100)
            else:
                each = torch.where(costs >= 1, costs, torch.ones_like(costs)).log().mean(0)
            penalties[name] = each / len(each)
        return penalties


def cost_table(supernet: Supernet, examples: Examples) -> CostTable:
    """Return the costs of a supernet's operations; nothing is computed, and it is not changed.

    Args:
        supernet: A supernet for images.
        examples: What the images look like.

    Raises:
        InputError: The supernet or an operation has no cost formula, or the image cannot be halved.
    """
    space, types = supernet.space, supernet.cell_types_of_cells
    cells = [part for part in supernet.modules() if isinstance(part, SearchEdges)]
    if len(cells) != len(types):
        raise InputError(
            f"No cost formulas for {type(supernet).__name__}, which has no operations on images; "
            "leave ResourceCost out of this search."
        )
    visited: list[Tensor] = []

    def note(edges: nn.Module, _: tuple[object, ...], states: list[Tensor]) -> None:
        assert isinstance(edges, SearchEdges)
        visited.append(_cell_costs(edges, states))

    # With nothing active no operation runs, and yet all states have their sizes.
    shape = (len(space.edges), len(space.operations))
    gates = {name: torch.ones(shape, device="meta") for name in space.cell_types}
    nothing = {name: torch.zeros(shape, dtype=torch.bool) for name in space.cell_types}
    inputs = examples.inputs(), GateSample(gates, nothing)
    with supernet.using("reference"):
        run_on_meta(supernet, inputs, [(cell, note) for cell in cells])
    table = torch.stack(visited, 1)
    return CostTable(
        {
            name: table[:, [index for index, kind in enumerate(types) if kind == name]]
            for name in dict.fromkeys(types)
        }
    )


def _cell_costs(edges: SearchEdges, states: list[Tensor]) -> Tensor:
    """Return the costs of one cell's operations, (measures, edges, ops)."""
    space = edges.space
    costs = torch.zeros(len(MEASURES), len(space.edges), len(space.operations), dtype=torch.float64)
    for row, (edge, stride) in enumerate(zip(space.edges, edges.strides, strict=True)):
        _, channels, height, width = states[edge.target].shape
        channels //= edges.extras.partial_channels
        for column, name in enumerate(space.operations):
            if name in edges.operations(row):
                cost = operation_cost(name, channels, height * width, stride)
                each = [float(getattr(cost, measure)) for measure in MEASURES]
                costs[:, row, column] = torch.tensor(each, dtype=torch.float64)
    return costs
