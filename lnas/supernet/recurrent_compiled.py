"""The fast path of recurrent cells with compiled functions, one call for all steps."""

from typing import Any, final

from torch import Tensor

from lnas.kernels import CURVES, LeavingEdges, RecurrentSteps, StateNorm
from lnas.operations.normalization import BatchNorm2d, move_averages
from lnas.supernet.recurrent_loop import Loop
from lnas.supernet.recurrent_source import Source


@final
class CompiledSource(Source):
    """A state as compiled functions know it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        weights = self.like.new_zeros(len(self.targets), len(CURVES) + 1)
        for part, names, gates in zip(self.parts, self.curves, self.gates, strict=True):
            for name, gate in zip(names, gates.unbind(1), strict=True):
                weights[part, CURVES.index(name)] += gate
                weights[part, -1] += gate
        memory = self.matrix, self.inputs, self.pairs
        learning = self.learns, self.learns_gates
        self.edges = LeavingEdges(self.targets, weights, *memory, *learning, self.room)

    def _gate_gradient(self, group: int, curve: str) -> Tensor:
        assert self.edges.products is not None
        found = self.edges.products[:, self.parts[group]].sum(0)
        return found[:, CURVES.index(curve)] + found[:, -1]


@final
class CompiledLoop(Loop):
    """All steps of a sequence in one call."""

    source = CompiledSource

    def forward(self, projected: Tensor, hidden: Tensor, output: Tensor) -> None:
        """See `Loop.forward`."""
        norm = None if self.layer is None else self._norm(self.layer, len(projected))
        sources = [self.sources.get(state) for state in range(-1, len(self.shares) - 1)]
        edges = [None if source is None else source.edges for source in sources]
        self.steps = RecurrentSteps(edges, self.mask, self.shares, norm, self.states)
        self.steps.forward(projected, hidden, output)
        if self.layer is not None and self.mode == "update":
            assert norm is not None
            assert norm.means is not None
            assert norm.variances is not None
            for mean, variance in zip(norm.means, norm.variances, strict=True):
                move_averages([self.layer], [mean], [variance])

    def backward(self, grad: Tensor, hidden: Tensor, output: Tensor) -> Tensor:
        """See `Loop.backward`."""
        return self.steps.backward(grad, hidden, output)

    def _norm(self, layer: BatchNorm2d, steps: int) -> StateNorm:
        if self.mode == "running":
            mean, scale = self._given(layer)
            return StateNorm(layer.eps, scale, mean)
        room = self.states.new_empty(3, steps * len(self.shares), self.states.shape[-1])
        scale, means, variances = room
        return StateNorm(layer.eps, scale, means=means, variances=variances)
