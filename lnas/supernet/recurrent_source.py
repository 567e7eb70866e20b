"""A state of a recurrent cell in the fast path, with all edges that leave it.

The state s is multiplied by the matrices of all nodes that read it side by side, in one product. Of
the gate c and the candidate h that come out for an edge, with the gates g_k and g their sum,

    sum_k g_k (s + c (f_k(h) - s)) = g s + c (sum_k g_k f_k(h) - g s),

so that an edge costs one gate, whatever the number of its activations. What every way of computing
has in common is here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from lnas.kernels import Room
from lnas.supernet.recurrent_plan import Group


class Source(ABC):
    """A state, and what the edges that leave it have in common.

    Args:
        groups: The edges.
        curves: Name of each column's activation.
        matrices: Matrix of each state that is entered, (units, 2 * units).
        gates: (edges, ops) of the whole cell.
        kept: Number of steps of which backward needs something; 1 where there is none.
        streams: Number of texts side by side.
        learns: There will be a backward.
        learns_gates: It is to find the gradients of the gates.
        room: The memory of the pass.
    """

    def __init__(
        self,
        groups: tuple[Group, ...],
        curves: Sequence[str],
        matrices: Mapping[int, Tensor],
        gates: Tensor,
        kept: int,
        streams: int,
        learns: bool,
        learns_gates: bool,
        room: Room,
    ) -> None:
        self.groups, self.learns, self.learns_gates, self.room = groups, learns, learns_gates, room
        self.curves = [[curves[column] for column in group.columns] for group in groups]
        self.targets = [target for group in groups for target in group.targets]
        self.like = matrices[self.targets[0]]
        self.units, edges = len(self.like), len(self.targets)
        halves = [matrices[target].view(self.units, 2, self.units) for target in self.targets]
        together = room.empty(self.like, self.units, 2, edges, self.units)
        self.matrix = torch.stack(halves, 2, out=together).view(self.units, -1)
        # By group: the gates of each activation, (edges, ops).
        self.gates = [gates[list(group.rows)][:, list(group.columns)] for group in groups]
        ends = torch.tensor([0, *(len(group.targets) for group in groups)]).cumsum(0).tolist()
        self.parts = [slice(a, b) for a, b in pairwise(ends)]
        # Products of gates and candidates; in backward, their gradients.
        self.pairs = room.empty(self.like, kept, streams, 2, edges, self.units)
        self.inputs = room.empty(self.like, kept, streams, self.units)

    def remembered(self) -> list[Tensor]:
        """Return what backward needs."""
        return [self.pairs, self.inputs]

    def weight_gradients(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the gradient of each target's matrix, (units, 2 * units), through this state."""
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
    def _gate_gradient(self, group: int, curve: str) -> Tensor:
        """Return the gradient of the gates of an activation in a group, (edges,)."""
