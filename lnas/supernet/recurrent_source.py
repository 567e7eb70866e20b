"""A state of a recurrent cell in the fast path, with all edges that leave it.

The state s is multiplied by the matrices of all nodes that read it side by side, in one product. Of
the gate c and the candidate h that come out for an edge, with the gates g_k and g their sum,

    sum_k g_k (s + c (f_k(h) - s)) = g s + c (sum_k g_k f_k(h) - g s),

so that an edge costs one gate, whatever the number of its activations. The products are here; what
is between them is in `recurrent_edges.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from lnas.kernels import Room
from lnas.supernet.recurrent_matrix import matrix_for
from lnas.supernet.recurrent_plan import Group


class Source(ABC):
    """A state, and what the edges that leave it have in common.

    Args:
        groups: The edges.
        curves: Name of each column's activation.
        matrices: Matrix of each node, (units, 2 * units).
        gates: (edges, ops) of the whole cell.
        keeps: There will be a backward.
        learns_gates: It is to find the gradients of the gates.
        room: The memory of the pass.
    """

    def __init__(
        self,
        groups: tuple[Group, ...],
        curves: Sequence[str],
        matrices: Mapping[int, Tensor],
        gates: Tensor,
        keeps: bool,
        learns_gates: bool,
        room: Room,
    ) -> None:
        self.groups, self.keeps, self.learns_gates = groups, keeps, learns_gates
        self.room = room
        self.curves = [[curves[column] for column in group.columns] for group in groups]
        self.targets = [target for group in groups for target in group.targets]
        self.units = len(matrices[self.targets[0]])
        halves = [matrices[target].view(self.units, 2, self.units) for target in self.targets]
        self.like = matrices[self.targets[0]]
        together = room.empty(self.like, self.units, 2, len(halves), self.units)
        torch.stack(halves, 2, out=together)
        self.matrix = matrix_for(together.view(self.units, -1), keeps, room)
        # By group: the gates of each activation, (edges, ops).
        self.gates = [gates[list(group.rows)][:, list(group.columns)] for group in groups]
        ends = torch.tensor([0, *(len(group.targets) for group in groups)]).cumsum(0).tolist()
        self.parts = [slice(a, b) for a, b in pairwise(ends)]

    def make_room(self, steps: int, streams: int) -> None:
        """Make room for what backward needs of `steps` steps."""
        # Products of gates and candidates; in backward, their gradients.
        self.pairs = self.room.empty(self.like, steps, streams, 2, len(self.targets), self.units)
        self.inputs = self.room.empty(self.like, steps, streams, self.units)

    def remembered(self) -> list[Tensor]:
        """Return what backward needs."""
        return [self.pairs, self.inputs]

    def read(
        self, place: int, state: Tensor, mask: Tensor | None, sums: Tensor, add: Tensor | None
    ) -> None:
        """Add what the edges bring to their nodes' sums.

        Args:
            place: Where to keep what backward needs.
            state: (streams, units).
            mask: Factors of dropped units, (streams, units).
            sums: Of all states, (states, streams, units).
            add: To the products, (streams, 2 * edges * units).
        """
        inputs, pair = self.inputs[place], self.pairs[place]
        if mask is None:
            inputs.copy_(state)
        else:
            torch.mul(state, mask, out=inputs)
        self.matrix.forward(inputs, pair.view(len(pair), -1), add)
        self._add_edges(place, state, sums)

    def learn(
        self, place: int, state: Tensor, of_sums: Tensor, of_state: Tensor, mask: Tensor | None
    ) -> None:
        """Add to the gradient of the state; keep those of the products in their place."""
        self._learn_edges(place, state, of_sums, of_state)
        pair = self.pairs[place]
        self.matrix.backward(pair.view(len(pair), -1), of_state, mask)

    def weight_gradients(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the gradient of each node's matrix, (units, 2 * units), through this state."""
        product = self.room.empty(self.like, self.units, 2 * len(self.targets) * self.units)
        torch.mm(self.inputs.flatten(0, 1).t(), self.pairs.flatten(2).flatten(0, 1), out=product)
        halves = product.view(self.units, 2, len(self.targets), self.units).unbind(2)
        for target, both in zip(self.targets, halves, strict=True):
            yield target, both.clone(memory_format=torch.contiguous_format).view(self.units, -1)

    def add_gate_gradients(self, of_gates: Tensor) -> None:
        """Add the gradients of the gates on these edges to a table (edges, ops)."""
        for index, (group, names) in enumerate(zip(self.groups, self.curves, strict=True)):
            for column, name in zip(group.columns, names, strict=True):
                of_gates[list(group.rows), column] += self._gate_gradient(index, name)

    @abstractmethod
    def _add_edges(self, place: int, state: Tensor, sums: Tensor) -> None:
        """Add what the edges make of the products at `place` to their nodes' sums."""

    @abstractmethod
    def _learn_edges(self, place: int, state: Tensor, of_sums: Tensor, of_state: Tensor) -> None:
        """Replace the products by their gradients; add to that of the state."""

    @abstractmethod
    def _gate_gradient(self, group: int, curve: str) -> Tensor:
        """Return the gradient of the gates of an activation in a group, (edges,)."""
