"""The fast path of recurrent cells: the numbers of the plain formulas with far less traffic.

What one state has in common for all nodes that read it is in `recurrent_source.py`; the hidden
state before a step is a state like all others, which one edge leaves: to the first state, with
tanh, whose product has that of the input added. Backward runs through time by hand: it remembers
two to four numbers of each edge and unit, and leaves the gradients of the matrices to one long
product a state at the end. It has no second derivatives, and a pass can be propagated back only
once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lnas.errors import NO_SECOND_DERIVATIVE
from lnas.kernels import Room
from lnas.operations import BatchNorm2d
from lnas.supernet.recurrent_edges import in_a_row, source_for
from lnas.supernet.recurrent_plan import Group, Plan

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
        self.plan, self.curves, self.mask, self.entered = plan, curves, mask, entered
        self.keeps, self.learns_gates = any(learning), learning[2]
        self.learns_weights = any(learning[3:])
        self.norm, self.room = _Normalization(norm), Room()
        self.shares = torch.zeros(len(plan) + 1, 1, 1)  # of each state in the hidden one
        self.shares[list(means)] = 1 / len(means)
        self.means = in_a_row(means)

    def forward(self, projected: Tensor, hidden: Tensor, gates: Tensor, *weights: Tensor) -> Tensor:
        steps, streams, units = len(projected), *hidden.shape
        self.kept = steps if self.keeps else 1
        self.hidden, self.gates = hidden, gates
        matrices, kind = dict(zip(self.entered, weights, strict=True)), source_for(hidden)
        one, keeps, room = gates.new_ones(1, 1), self.keeps, self.room
        first = kind((ENTRANCE,), ["tanh"], matrices, one, keeps, False, room)
        self.sources = {-1: first} | {
            state: kind(groups, self.curves, matrices, gates, keeps, self.learns_gates, room)
            for state, groups in enumerate(self.plan)
            if groups
        }
        for source in self.sources.values():
            source.make_room(self.kept, streams)
        self.states = self.room.empty(projected, self.kept, len(self.shares), streams, units)
        self.output = projected.new_empty(steps, streams, units)
        for step in range(steps):
            hidden = self._step(step, hidden, projected[step])
        if not self.keeps:
            self.room.close()
        return self.output

    def remembered(self) -> list[Tensor]:
        """Return what backward needs."""
        own = [self.states, self.output]
        return own + [t for source in self.sources.values() for t in source.remembered()]

    def _step(self, step: int, before: Tensor, projected: Tensor) -> Tensor:
        """Compute the states of one step from the hidden state before; return the one behind."""
        place = step % self.kept
        states = self.states[place].zero_()
        for number, state in enumerate(states):
            source, add = self.sources.get(number - 1), None if number else projected
            if source is not None:
                source.read(place, before, self.mask, states, add)
            self.norm.forward(state)
            before = state
        return torch.mean(states[self.means], 0, out=self.output[step])

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        carried = torch.zeros_like(self.hidden)
        of_states, self.shares = torch.empty_like(self.states[0]), self.shares.to(grad)
        for step in reversed(range(len(grad))):
            torch.mul(carried.add_(grad[step]), self.shares, out=of_states)
            self._step_back(step, of_states, carried.zero_())
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
        return (of_projected, carried, of_gates, *wanted)

    def _step_back(self, step: int, of_states: Tensor, of_before: Tensor) -> None:
        """Add the gradient of the hidden state before a step, from those of the states' shares."""
        states = [self.output[step - 1] if step else self.hidden, *self.states[step]]
        grads = [of_before, *of_states]
        for number in reversed(range(len(of_states))):
            call = step * len(of_states) + number
            self.norm.backward(of_states[number], states[number + 1], call)
            source = self.sources.get(number - 1)
            if source is not None:
                source.learn(step, states[number], of_states, grads[number], self.mask)


class _Normalization:
    """The normalisation of the states, with its backward; the identity without a layer."""

    def __init__(self, layer: BatchNorm2d | None) -> None:
        self.layer = layer
        self.mode = None if layer is None else layer.mode  # that of backward may be another one
        self.scales: list[Tensor] = []

    def forward(self, x: Tensor) -> None:
        """Normalise x, (streams, units), and move the running averages if the mode says so."""
        layer = self.layer
        if layer is None:
            return
        if self.mode == "running":
            mean, variance = (layer.get_buffer(f"running_{name}") for name in ("mean", "var"))
            scale = (variance + layer.eps).rsqrt_()
            x.sub_(mean).mul_(scale)
        else:
            moving = self.mode == "update"
            averages = (layer.running_mean, layer.running_var) if moving else (None, None)
            y, _, scale = torch.native_batch_norm(
                x, None, None, *averages, True, layer.next_rate() if moving else 0.0, layer.eps
            )
            x.copy_(y)
        self.scales.append(scale)

    def backward(self, grad: Tensor, y: Tensor, call: int) -> None:
        """Make that of its input of the gradient of `y`, the output of the call number `call`."""
        if self.layer is None:
            return
        if self.mode != "running":
            mean, along = grad.mean(0), (grad * y).mean(0)
            grad.sub_(mean).addcmul_(y, along, value=-1)
        grad.mul_(self.scales[call])
