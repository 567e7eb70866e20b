"""The fast path of recurrent cells with torch's operators.

They keep the bracket of `recurrent_source.py` and its slope for backward, not to find all
activations anew.
"""

from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor

from lnas.operations.activations import Curves
from lnas.supernet.recurrent_loop import Loop
from lnas.supernet.recurrent_source import Source


@final
class PlainSource(Source):
    """A state, step by step."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.total = torch.cat([values.sum(1, keepdim=True) for values in self.gates])
        self.where = _in_a_row(self.targets)
        self.brackets = torch.empty_like(self.pairs[:, :, 0])
        # Who does not ask for the gradients of the gates needs no points any more.
        points = self.pairs[:, :, 1]
        self.slopes = torch.empty_like(self.brackets) if self.learns_gates else points
        self.around = torch.zeros_like(self.brackets[0]) if self.learns_gates else None
        self.products = [
            {name: torch.zeros_like(self.brackets[0, :, part]) for name in names}
            for part, names in zip(self.parts, self.curves, strict=True)
            if self.learns_gates
        ]

    def remembered(self) -> list[Tensor]:
        """See `Source.remembered`."""
        return [*super().remembered(), self.brackets, self.slopes]

    def read(
        self, place: int, state: Tensor, mask: Tensor | None, sums: Tensor, add: Tensor | None
    ) -> None:
        """Add what the edges bring to the states that they enter.

        Args:
            place: Where to keep what backward needs.
            state: (streams, units).
            mask: Factors of dropped units, (streams, units).
            sums: Of all states, (states, streams, units).
            add: To the products, (streams, 2 * edges * units).
        """
        inputs, pair, bracket = self.inputs[place], self.pairs[place], self.brackets[place]
        if mask is None:
            inputs.copy_(state)
        else:
            torch.mul(state, mask, out=inputs)
        products = pair.view(len(pair), -1)
        if add is None:
            torch.mm(inputs, self.matrix, out=products)
        else:
            torch.addmm(add, inputs, self.matrix, out=products)
        gate, state = pair[:, 0].sigmoid_(), state[:, None]
        torch.mul(state, -self.total, out=bracket)
        for group, part in enumerate(self.parts):
            curves = Curves(pair[:, 1, part])
            for name, weight in self._weighed(group):
                bracket[:, part].addcmul_(curves.value(name), weight)
            if self.learns:
                self._write_slopes(group, curves, self.slopes[place, :, part])
        sums[self.where] += (gate * bracket).addcmul_(state, self.total).transpose(0, 1)

    def learn(
        self, place: int, state: Tensor, of_sums: Tensor, of_state: Tensor, mask: Tensor | None
    ) -> None:
        """Add to the gradient of the state; replace the products by their gradients."""
        gate, points = self.pairs[place].unbind(1)
        of_edges = of_sums[self.where].transpose(0, 1)
        through = of_edges * gate
        around = of_edges - through
        if self.around is not None:
            self.around.addcmul_(around, state[:, None])
            for part, products in zip(self.parts, self.products, strict=True):
                curves = Curves(points[:, part])
                for name, product in products.items():
                    product.addcmul_(through[:, part], curves.value(name))
        torch.mul(through, self.slopes[place], out=points)
        through.addcmul_(through, gate, value=-1)
        torch.mul(through, self.brackets[place], out=gate)
        of_state.add_(around.mul_(self.total).sum(1))
        of_inputs = self.pairs[place].flatten(1) @ self.matrix.t()
        of_state.add_(of_inputs) if mask is None else of_state.addcmul_(of_inputs, mask)

    def _gate_gradient(self, group: int, curve: str) -> Tensor:
        assert self.around is not None
        both = self.products[group][curve] + self.around[:, self.parts[group]]
        return both.sum((0, 2))

    def _write_slopes(self, group: int, curves: Curves, out: Tensor) -> None:
        """Write the slope of the weighed sum of a group's activations over their points."""
        written = [(curves.slope(name), weight) for name, weight in self._weighed(group)]
        for index, (slope, weight) in enumerate(written):
            torch.mul(slope, weight, out=out) if index == 0 else out.addcmul_(slope, weight)

    def _weighed(self, group: int) -> Iterator[tuple[str, Tensor]]:
        """Yield the activations of a group and their gates, (edges, 1)."""
        yield from zip(self.curves[group], self.gates[group].t()[..., None], strict=True)


@final
class PlainLoop(Loop):
    """A sequence, step by step."""

    source = PlainSource

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.scales: list[Tensor] = []

    def forward(self, projected: Tensor, hidden: Tensor, output: Tensor) -> None:
        """See `Loop.forward`."""
        where = _in_a_row(self.means)
        for step, add in enumerate(projected):
            place, before = step % len(self.states), hidden
            states = self.states[place].zero_()
            for number, state in enumerate(states):
                source = self.sources.get(number - 1)
                if source is not None:
                    source.read(place, before, self.mask, states, None if number else add)
                self._normalise(state)
                before = state
            hidden = torch.mean(states[where], 0, out=output[step])

    def backward(self, grad: Tensor, hidden: Tensor, output: Tensor) -> Tensor:
        """See `Loop.backward`."""
        of_hidden, of_states = torch.zeros_like(hidden), torch.empty_like(self.states[0])
        shares, count = self.shares[:, None, None], len(of_states)
        for step in reversed(range(len(grad))):
            torch.mul(of_hidden.add_(grad[step]), shares, out=of_states)
            states = [output[step - 1] if step else hidden, *self.states[step]]
            grads = [of_hidden.zero_(), *of_states]
            for number in reversed(range(count)):
                self._learn_norm(of_states[number], states[number + 1], step * count + number)
                source = self.sources.get(number - 1)
                if source is not None:
                    source.learn(step, states[number], of_states, grads[number], self.mask)
        return of_hidden

    def _normalise(self, x: Tensor) -> None:
        """Normalise x, (streams, units), and move the running averages if the mode says so."""
        layer = self.layer
        if layer is None:
            return
        if self.mode == "running":
            mean, scale = self._given(layer)
            x.sub_(mean).mul_(scale)
        else:
            moving = self.mode == "update"
            averages = (layer.running_mean, layer.running_var) if moving else (None, None)
            y, _, scale = torch.native_batch_norm(
                x, None, None, *averages, True, layer.next_rate() if moving else 0.0, layer.eps
            )
            x.copy_(y)
        self.scales.append(scale)

    def _learn_norm(self, grad: Tensor, y: Tensor, call: int) -> None:
        """Make that of its input of the gradient of `y`, the output of the call number `call`."""
        if self.layer is None:
            return
        if self.mode != "running":
            mean, along = grad.mean(0), (grad * y).mean(0)
            grad.sub_(mean).addcmul_(y, along, value=-1)
        grad.mul_(self.scales[call])


def _in_a_row(numbers: Sequence[int]) -> slice | list[int]:
    """Return numbers that ascend one by one as a slice: a view, where a list would be a copy."""
    first, end = numbers[0], numbers[-1] + 1
    return slice(first, end) if list(numbers) == list(range(first, end)) else list(numbers)
