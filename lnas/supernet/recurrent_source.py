"""A state of a recurrent cell in the fast path, with all edges that leave it.

The state s is multiplied by the matrices of all nodes that read it side by side, in one product. Of
the gate c and the candidate h that come out for an edge, with the gates g_k and g their sum,

    sum_k g_k (s + c (f_k(h) - s)) = g s + c (sum_k g_k f_k(h) - g s),

so that an edge costs one gate, whatever the number of its activations. The bracket and its slope in
h are kept for backward, which would otherwise have to find all activations anew.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from lnas.operations.activations import Curves
from lnas.supernet.recurrent_plan import Group

Masked = Callable[[Tensor, Tensor], Tensor]
"""`masked(state, out)` writes the state without its dropped units into `out` and returns it."""


class Source:
    """A state, and what the edges that leave it have in common.

    Args:
        groups: The edges.
        curves: Name of each column's activation.
        matrices: Matrix of each node, (units, 2 * units).
        gates: (edges, ops) of the whole cell.
        keeps: There will be a backward.
        learns_gates: It is to find the gradients of the gates.
    """

    def __init__(
        self,
        groups: tuple[Group, ...],
        curves: Sequence[str],
        matrices: Mapping[int, Tensor],
        gates: Tensor,
        keeps: bool,
        learns_gates: bool,
    ) -> None:
        self.groups, self.keeps, self.learns_gates = groups, keeps, learns_gates
        self.curves = [[curves[column] for column in group.columns] for group in groups]
        self.targets = [target for group in groups for target in group.targets]
        first, last = self.targets[0], self.targets[-1] + 1
        # A slice is a view, where a list of indices would be a copy at each step.
        in_a_row = self.targets == list(range(first, last))
        self.where: slice | list[int] = slice(first, last) if in_a_row else self.targets
        self.units = len(matrices[first])
        halves = [matrices[target].view(self.units, 2, self.units) for target in self.targets]
        self.weight = torch.stack(halves, 2).view(self.units, -1)
        # By group: the gates of each activation, (edges, 1), as factors of (streams, edges, units).
        self.gates = [gates[list(group.rows)][:, list(group.columns)] for group in groups]
        self.total = torch.cat([values.sum(1, keepdim=True) for values in self.gates])
        ends = torch.tensor([0, *(len(group.targets) for group in groups)]).cumsum(0).tolist()
        self.parts = [slice(a, b) for a, b in pairwise(ends)]
        self.products: list[list[Tensor]] = []
        self.around: Tensor | None = None

    def remember(self, steps: int, streams: int) -> None:
        """Make room for what backward needs of `steps` steps."""
        edges = len(self.targets)
        self.steps = steps
        # Gates and points of the candidates; in backward, their gradients.
        self.pairs = self.weight.new_empty(steps, streams, 2, edges, self.units)
        self.brackets = self.weight.new_empty(steps, streams, edges, self.units)
        # Who does not ask for the gradients of the gates needs no points any more.
        points = self.pairs[:, :, 1]
        self.slopes = torch.empty_like(self.brackets) if self.learns_gates else points
        self.inputs = self.weight.new_empty(steps, streams, self.units)
        if self.learns_gates:
            sizes = [part.stop - part.start for part in self.parts]
            self.products = [
                [self.weight.new_zeros(streams, size, self.units) for _ in curves]
                for size, curves in zip(sizes, self.curves, strict=True)
            ]
            self.around = self.weight.new_zeros(streams, edges, self.units)

    def read(self, step: int, state: Tensor, masked: Masked) -> Iterator[tuple[int, Tensor]]:
        """Yield what each edge adds to its node, (streams, units)."""
        pair, bracket = self.pairs[step % self.steps], self.brackets[step % self.steps]
        read = masked(state, self.inputs[step % self.steps])
        torch.mm(read, self.weight, out=pair.view(len(pair), -1))
        gate, state = pair[:, 0].sigmoid_(), state[:, None]
        torch.mul(state, -self.total, out=bracket)
        for group, part in enumerate(self.parts):
            curves = Curves(pair[:, 1, part])
            for curve, weight in self._weighed(group):
                bracket[:, part].addcmul_(curves.value(curve), weight)
            if self.keeps:
                self._write_slopes(group, curves, self.slopes[step % self.steps, :, part])
        added = (gate * bracket).addcmul_(state, self.total)
        yield from zip(self.targets, added.unbind(1), strict=True)

    def learn(
        self, step: int, state: Tensor, of_sums: Tensor, of_state: Tensor, mask: Tensor | None
    ) -> None:
        """Add to the gradient of the state; keep those of gates and points in their place."""
        pair, of_edges = self.pairs[step], of_sums[:, self.where]
        gate, points = pair[:, 0], pair[:, 1]
        through = of_edges * gate
        around = of_edges - through
        if self.around is not None:
            self.around.addcmul_(around, state[:, None])
            for group, part in enumerate(self.parts):
                curves = Curves(points[:, part])
                for sum_, curve in zip(self.products[group], self.curves[group], strict=True):
                    sum_.addcmul_(through[:, part], curves.value(curve))
        torch.mul(through, self.slopes[step], out=points)
        through.addcmul_(through, gate, value=-1)
        torch.mul(through, self.brackets[step], out=gate)
        of_state.add_(around.mul_(self.total).sum(1))
        of_read = pair.view(len(pair), -1) @ self.weight.t()
        of_state.add_(of_read) if mask is None else of_state.addcmul_(of_read, mask)

    def weight_gradients(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the gradient of each node's matrix, (units, 2 * units), through this state."""
        product = self.inputs.flatten(0, 1).t() @ self.pairs.view(-1, self.weight.shape[1])
        halves = product.view(self.units, 2, len(self.targets), self.units).unbind(2)
        for target, both in zip(self.targets, halves, strict=True):
            yield target, both.reshape(self.units, -1)

    def add_gate_gradients(self, of_gates: Tensor) -> None:
        """Add the gradients of the gates on these edges to a table (edges, ops)."""
        assert self.around is not None
        around = self.around.sum((0, 2))
        for group, part, products in zip(self.groups, self.parts, self.products, strict=True):
            for column, product in zip(group.columns, products, strict=True):
                of_gates[list(group.rows), column] += product.sum((0, 2)) + around[part]

    def _write_slopes(self, group: int, curves: Curves, out: Tensor) -> None:
        """Write the slope of the weighed sum of a group's activations over their points."""
        written = [(curves.slope(curve), weight) for curve, weight in self._weighed(group)]
        for index, (slope, weight) in enumerate(written):
            torch.mul(slope, weight, out=out) if index == 0 else out.addcmul_(slope, weight)

    def _weighed(self, group: int) -> Iterator[tuple[str, Tensor]]:
        """Yield the activations of a group and their gates, (edges, 1)."""
        yield from zip(self.curves[group], self.gates[group].t()[..., None], strict=True)
