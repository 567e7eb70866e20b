"""The fast path of recurrent cells: the numbers of the plain formulas with far less traffic.

What one state has in common for all nodes that read it is in `recurrent_source.py`. Backward runs
through time by hand: it remembers two to four numbers of each edge and unit, and leaves the
gradients of the matrices to one long product a state at the end. It has no second derivatives, and
a pass can be propagated back only once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lnas.errors import NO_SECOND_DERIVATIVE
from lnas.operations import BatchNorm2d
from lnas.supernet.recurrent_edges import source_for
from lnas.supernet.recurrent_matrix import matrix_for
from lnas.supernet.recurrent_plan import Plan


def recurrence(
    plan: Plan,
    curves: Sequence[str],
    projected: Tensor,
    hidden: Tensor,
    recurrent: Tensor,
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
        recurrent: Matrix of the hidden state, (units, 2 * units).
        gates: (edges, ops).
        weights: Matrix of each node that the plan enters, (units, 2 * units).
        mask: Factors of dropped hidden units, (streams, units).
        norm: Normalises the first state and every node; without scale and shift.
        outputs: The nodes whose mean is the hidden state; None: all.
    """
    hidden = hidden.contiguous()
    inputs = (projected, hidden, recurrent, gates, *weights.values())
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
        self.plan, self.curves, self.mask = plan, curves, mask
        self.entered, self.means = entered, means
        self.nodes = len(plan)
        self.keeps, self.learns_gates = any(learning), learning[3]
        self.learns_weights = learning[2] or any(learning[4:])
        self.norm = _Normalization(norm)

    def forward(
        self, projected: Tensor, hidden: Tensor, recurrent: Tensor, gates: Tensor, *weights: Tensor
    ) -> Tensor:
        steps, streams, units = len(projected), *hidden.shape
        self.kept = steps if self.keeps else 1
        self.recurrent = matrix_for(recurrent.detach(), self.keeps)
        self.hidden, self.gates = hidden, gates
        matrices = dict(zip(self.entered, weights, strict=True))
        kind = source_for(hidden)
        self.sources = {
            state: kind(groups, self.curves, matrices, gates, self.keeps, self.learns_gates)
            for state, groups in enumerate(self.plan)
            if groups
        }
        for source in self.sources.values():
            source.make_room(self.kept, streams)
        self.projected, self.entrances = projected, torch.empty_like(projected)
        self.reads = projected.new_empty(self.kept, streams, units)
        self.states: list[list[Tensor]] = []
        self.output = projected.new_empty(steps, streams, units)
        for step in range(steps):
            hidden = self._step(step, hidden)
        return self.output

    def remembered(self) -> list[Tensor]:
        """Return what backward needs."""
        own = [self.entrances, self.reads, self.output, *(s for step in self.states for s in step)]
        return own + [t for source in self.sources.values() for t in source.remembered()]

    def _step(self, step: int, hidden: Tensor) -> Tensor:
        """Compute the states of one step from the hidden state before; return the one behind."""
        units = hidden.shape[1]
        read = self._masked(hidden, self.reads[step % self.kept])
        pair = self.recurrent.forward(read, self.entrances[step], self.projected[step])
        gate, candidate = pair[:, :units].sigmoid_(), pair[:, units:].tanh_()
        states = [self.norm.forward(torch.lerp(hidden, candidate, gate))]
        sums = hidden.new_zeros(self.nodes + 1, *hidden.shape)
        for node in range(1, self.nodes + 1):
            source = self.sources.get(node - 1)
            if source is not None:
                source.read(step, states[-1], self._masked, sums)
            states.append(self.norm.forward(sums[node]))
        if self.keeps:
            self.states.append(states)
        output = self.output[step].copy_(states[self.means[0]])
        for node in self.means[1:]:
            output.add_(states[node])
        return output.div_(len(self.means))

    def _masked(self, state: Tensor, out: Tensor) -> Tensor:
        return out.copy_(state) if self.mask is None else torch.mul(state, self.mask, out=out)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        carried = torch.zeros_like(self.hidden)
        of_entrances = torch.empty_like(self.entrances)
        for step in reversed(range(len(grad))):
            carried = self._step_back(step, carried.add_(grad[step]), of_entrances[step])
        of_gates = torch.zeros_like(self.gates) if self.learns_gates else None
        of_weights: dict[int, Tensor] = {}
        of_recurrent = None
        if of_gates is not None:
            for source in self.sources.values():
                source.add_gate_gradients(of_gates)
        if self.learns_weights:
            of_recurrent = self.reads.flatten(0, 1).t() @ of_entrances.flatten(0, 1)
            for source in self.sources.values():
                for node, gradient in source.weight_gradients():
                    before = of_weights.get(node)
                    of_weights[node] = gradient if before is None else before.add_(gradient)
        wanted = (of_weights.get(node) for node in self.entered)
        return (of_entrances, carried, of_recurrent, of_gates, *wanted)

    def _step_back(self, step: int, grad: Tensor, of_entrance: Tensor) -> Tensor:
        """Return the gradient of the hidden state before a step from that of the one behind."""
        units, states = grad.shape[1], self.states[step]
        share, none = grad / len(self.means), torch.zeros_like(grad)
        of_states = [
            (share if node in self.means else none).clone() for node in range(self.nodes + 1)
        ]
        of_sums = grad.new_empty(self.nodes + 1, *grad.shape)
        for node in range(self.nodes, 0, -1):
            index = self._norm_index(step, node)
            of_sums[node] = self.norm.backward(of_states[node], states[node], index)
            source = self.sources.get(node - 1)
            if source is not None:
                state, of_state = states[node - 1], of_states[node - 1]
                source.learn(step, state, of_sums, of_state, self.mask)
        of_first = self.norm.backward(of_states[0], states[0], self._norm_index(step, 0))
        before = self.hidden if step == 0 else self.output[step - 1]
        gate, candidate = self.entrances[step].chunk(2, 1)
        through = of_first * gate
        torch.mul(through, 1 - gate, out=of_entrance[:, :units]).mul_(candidate - before)
        torch.mul(through, 1 - candidate.square(), out=of_entrance[:, units:])
        return self.recurrent.backward(of_entrance, of_first - through, self.mask)

    def _norm_index(self, step: int, state: int) -> int:
        return step * (self.nodes + 1) + state


class _Normalization:
    """The normalisation of the states, with its backward; the identity without a layer."""

    def __init__(self, layer: BatchNorm2d | None) -> None:
        self.layer = layer
        self.mode = None if layer is None else layer.mode  # that of backward may be another one
        self.scales: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (streams, units), and move the running averages if the mode says so."""
        layer = self.layer
        if layer is None:
            return x
        if self.mode == "running":
            mean, variance = (layer.get_buffer(f"running_{name}") for name in ("mean", "var"))
            scale = (variance + layer.eps).rsqrt_()
            y = (x - mean).mul_(scale)
        else:
            moving = self.mode == "update"
            averages = (layer.running_mean, layer.running_var) if moving else (None, None)
            y, _, scale = torch.native_batch_norm(
                x, None, None, *averages, True, layer.next_rate() if moving else 0.0, layer.eps
            )
        self.scales.append(scale)
        return y

    def backward(self, grad: Tensor, y: Tensor, index: int) -> Tensor:
        """Return the gradient of the input of the call number `index`, whose output was `y`."""
        if self.layer is None:
            return grad
        scale = self.scales[index]
        if self.mode == "running":
            return grad * scale
        mean, along = grad.mean(0), (grad * y).mean(0)
        return (grad - mean).addcmul_(y, along, value=-1).mul_(scale)
