"""The fast path of recurrent cells: the numbers of the plain formulas with far less traffic.

What one state has in common for all nodes that read it is in `recurrent_source.py`, the loop over
time in `recurrent_loop.py`: compiled where that is possible, else with torch's operators. Backward
runs through time by hand: it remembers two to four numbers of each edge and unit, and leaves the
gradients of the matrices to one long product a state at the end. It has no second derivatives, and
a pass can be propagated back only once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lnas.errors import NO_SECOND_DERIVATIVE
from lnas.kernels import Room, readable
from lnas.operations import BatchNorm2d
from lnas.supernet.recurrent_compiled import CompiledLoop
from lnas.supernet.recurrent_loop import Loop
from lnas.supernet.recurrent_plain import PlainLoop
from lnas.supernet.recurrent_plan import Group, Plan
from lnas.supernet.recurrent_source import Source

ENTRANCE = Group(columns=(0,), rows=(0,), targets=(0,))  # of a cell with this edge and tanh alone


def recurrence(
    plan: Plan,
    curves: Sequence[str],
    projected: Tensor,
    hidden: Tensor,
    gates: Tensor,
    weights: Mapping[int, Tensor],
    mask: Tensor | None = None,
    norm: BatchNorm2d | None = None,
    outputs: Sequence[int] | None = None,
) -> Tensor:
    """Run a recurrent cell over a sequence; return the hidden states, (time, streams, units).

    Args:
        plan: Which edges are computed.
        curves: Name of each column's activation.
        projected: Products of the inputs with their matrix, (time, streams, 2 * units): the half of
            the gate, then that of the candidate.
        hidden: Hidden state before, (streams, units).
        gates: (edges, ops).
        weights: Matrix of each state that is entered, (units, 2 * units): of the first one, 0, and
            of each node of the plan.
        mask: Factors of dropped hidden units, (streams, units).
        norm: Normalises the first state and every node; without scale and shift.
        outputs: The nodes whose mean is the hidden state; None: all.
    """
    inputs = (projected, hidden.contiguous(), gates, *weights.values())
    learning = [torch.is_grad_enabled() and tensor.requires_grad for tensor in inputs]
    means = tuple(outputs or range(1, len(plan) + 1))
    cell = _Pass(plan, curves, mask, norm, learning, tuple(weights), means)
    output: Tensor = _Recurrence.apply(cell, *inputs)
    return output


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cell: "_Pass", *inputs: Tensor) -> Tensor:
        ctx.cell = cell
        output = cell.forward(*inputs)
        cell.output = output.detach()  # itself, it would hold its history, and so this
        if cell.keeps:  # for hooks and those who count; backward has them in the cell
            ctx.save_for_backward(*cell.remembered())
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        cell, ctx.cell = ctx.cell, None
        if cell is None:
            raise RuntimeError("the fast path of a recurrent cell propagates back only once")
        return (None, *cell.backward(grads[0]))


class _Pass:
    """One pass through a sequence; see `recurrence`."""

    def __init__(
        self,
        plan: Plan,
        curves: Sequence[str],
        mask: Tensor | None,
        norm: BatchNorm2d | None,
        learning: list[bool],
        entered: tuple[int, ...],
        means: tuple[int, ...],
    ) -> None:
        self.plan, self.curves, self.mask, self.norm = plan, curves, mask, norm
        self.entered, self.means, self.room = entered, means, Room()
        self.keeps, self.learns_gates = any(learning), learning[2]
        self.learns_weights = any(learning[3:])

    def forward(self, projected: Tensor, hidden: Tensor, gates: Tensor, *weights: Tensor) -> Tensor:
        kind: type[Loop] = CompiledLoop if readable(hidden) else PlainLoop
        (steps, streams, _), units = projected.shape, hidden.shape[1]
        kept = steps if self.keeps else 1
        matrices = dict(zip(self.entered, weights, strict=True))
        sizes = kept, streams, self.keeps
        one = ["tanh"], matrices, gates.new_ones(1, 1), *sizes, False
        every = self.curves, matrices, gates, *sizes, self.learns_gates
        self.sources: dict[int, Source] = {-1: kind.source((ENTRANCE,), *one, self.room)} | {
            state: kind.source(groups, *every, self.room)
            for state, groups in enumerate(self.plan)
            if groups
        }
        states = self.room.empty(projected, kept, len(self.plan) + 1, streams, units)
        self.loop = kind(self.sources, states, self.mask, self.means, self.norm)
        self.hidden, self.gates = hidden, gates
        self.output = projected.new_empty(steps, streams, units)
        self.loop.forward(projected, hidden, self.output)
        if not self.keeps:
            self.room.close()
        return self.output

    def remembered(self) -> list[Tensor]:
        """Return what backward needs."""
        own = [self.loop.states, self.output]
        return own + [t for source in self.sources.values() for t in source.remembered()]

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_hidden = self.loop.backward(grad, self.hidden, self.output)
        of_gates = torch.zeros_like(self.gates) if self.learns_gates else None
        of_weights: dict[int, Tensor] = {}
        for source in self.sources.values():
            if of_gates is not None and source.learns_gates:
                source.add_gate_gradients(of_gates)
            for node, gradient in source.weight_gradients() if self.learns_weights else ():
                before = of_weights.get(node)
                of_weights[node] = gradient if before is None else before.add_(gradient)
        wanted = (of_weights.get(node) for node in self.entered)
        of_projected = self.sources[-1].pairs.view(*grad.shape[:2], -1)
        self.room.leave(of_projected)
        self.room.close()
        return (of_projected, of_hidden, of_gates, *wanted)
