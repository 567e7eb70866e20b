"""The recurrent search cell of DARTS, as written and fast.

Appendix A.1.2 of Liu et al., arXiv:1806.09055, as released. With [a; b] side by side, mx and mh the
dropout masks of the sequence, N the one batch normalisation without scale and shift:

    [c, h] = [x_t * mx; h_(t-1) * mh] W_0
    s_0 = N(h_(t-1) + sigmoid(c) (tanh(h) - h_(t-1)))
    [c_j, h_j] = (s_j * mh) W_i
    s_i = N(sum_j sum_k g_jik (s_j + sigmoid(c_j) (f_k(h_j) - s_j)))

for all states j before node i and all activations k but *none*; h_t is the mean of all nodes.
"""

from typing import cast

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.operations import BatchNorm2d, full_precision
from lnas.operations.activations import build_activation, curve_of
from lnas.operations.kept_product import masked_product
from lnas.relaxations import CellGates
from lnas.spaces import SearchSpace
from lnas.supernet.base import Path
from lnas.supernet.recurrence import recurrence
from lnas.supernet.recurrent_plan import Active, plan_of
from lnas.waiting import selected

SPREAD = 0.04  # all weights start uniform between -SPREAD and SPREAD


class Projection(nn.Module):
    """A matrix that multiplies states from the right, without bias: gate half, candidate half.

    Args:
        inputs: Number of rows.
        outputs: Number of columns.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-SPREAD, SPREAD))


class RecurrentCell(nn.Module):
    """All recurrent cells of a space in one.

    Args:
        space: A space with one input.
        units: Size of every state, D.
    """

    def __init__(self, space: SearchSpace, units: int) -> None:
        super().__init__()
        self.space, self.units = space, units
        self.input = Projection(2 * units, 2 * units)
        nodes = range(1, space.nodes + 1)
        self.nodes = nn.ModuleDict({str(node): Projection(units, 2 * units) for node in nodes})
        names = [name for name in space.operations if name != "none"]
        self.activations = nn.ModuleDict({name: build_activation(name) for name in names})
        self.norm = BatchNorm2d(units, affine=False)

    def forward(
        self,
        inputs: Tensor,
        hidden: Tensor,
        gates: CellGates,
        path: Path,
        input_mask: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Run over a sequence; return the hidden states, (time, streams, D).

        Args:
            inputs: (time, streams, D).
            hidden: Hidden state before, (streams, D).
            gates: The gates of the cell.
            path: Which way.
            input_mask: Factors of dropped inputs, (streams, D).
            mask: Factors of dropped hidden units, (streams, D).

        Raises:
            InputError: There is one stream alone, of which no statistics can be made.
        """
        if len(hidden) < 2 and self.norm.mode != "running":
            raise InputError(
                f"{len(hidden)} text at once on this rank: the search cell normalises over texts "
                "side by side; raise batch_size and measured_size to 2 or more for each rank."
            )
        table = gates.gates if gates.edges is None else gates.gates * gates.edges[:, None]
        table = table.to(hidden.dtype)
        active = None if gates.active is None else tuple(map(tuple, gates.active.tolist()))
        curves = {name: curve_of(part) for name, part in self.activations.items()}
        if path == "reference" or None in curves.values():
            inputs = inputs if input_mask is None else inputs * input_mask
            return self._reference(inputs, hidden, table, active, mask)
        with full_precision(hidden):
            return self._fused(inputs, hidden, table, active, input_mask, mask, curves)

    def _fused(
        self,
        inputs: Tensor,
        hidden: Tensor,
        gates: Tensor,
        active: Active | None,
        input_mask: Tensor | None,
        mask: Tensor | None,
        curves: dict[str, str | None],
    ) -> Tensor:
        plan = plan_of(tuple(self.space.edges), self.space.operations, active)
        entered = sorted({node for groups in plan for group in groups for node in group.targets})
        of_inputs, of_hidden = self.input.weight.chunk(2)
        return recurrence(
            plan,
            [curves.get(name) or name for name in self.space.operations],
            masked_product(inputs, of_inputs, input_mask),
            hidden,
            gates,
            {0: of_hidden} | {node: self._matrix(node) for node in entered},
            mask,
            self.norm,
        )

    def _reference(
        self,
        inputs: Tensor,
        hidden: Tensor,
        gates: Tensor,
        active: Active | None,
        mask: Tensor | None,
    ) -> Tensor:
        outputs = []
        for x in inputs:
            read = hidden if mask is None else hidden * mask
            gate, candidate = (torch.cat([x, read], 1) @ self.input.weight).chunk(2, 1)
            first = hidden + gate.sigmoid() * (candidate.tanh() - hidden)
            states: Tensor = self.norm(first)[None]
            for node in range(1, self.space.nodes + 1):
                total = self._node(node, states, gates, active, mask)
                states = torch.cat([states, self.norm(total)[None]])
            hidden = states[1:].mean(0)
            outputs.append(hidden)
        return torch.stack(outputs)

    def _node(
        self,
        node: int,
        states: Tensor,
        gates: Tensor,
        active: Active | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Return the sum of a node, (streams, D), from the states before it, (node, streams, D)."""
        rows = self.space.incoming(node)
        columns = [c for c, name in enumerate(self.space.operations) if name != "none"]
        if active is not None:
            rows = [row for row in rows if any(active[row][column] for column in columns)]
        total = torch.zeros_like(states[0])
        if not rows:
            return total
        states = _pick(states, [self.space.edges[row].source for row in rows])
        read = states if mask is None else states * mask
        gate, candidate = (read @ self._matrix(node)).chunk(2, -1)
        gate = gate.sigmoid()
        for column in columns:
            kept = [i for i, row in enumerate(rows) if active is None or active[row][column]]
            if not kept:
                continue
            passed, points = _pick(states, kept), _pick(candidate, kept)
            value = self.activations[self.space.operations[column]](points)
            term = passed + _pick(gate, kept) * (value - passed)
            weight = selected(gates[:, column], 0, [rows[i] for i in kept])
            total = total + (weight[:, None, None] * term).sum(0)
        return total

    def _matrix(self, node: int) -> Tensor:
        return cast(Projection, self.nodes[str(node)]).weight


def _pick(table: Tensor, indices: list[int]) -> Tensor:
    """Return rows of a table; the table itself when these are all."""
    return table if len(indices) == len(table) else selected(table, 0, indices)
