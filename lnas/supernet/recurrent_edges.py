"""What is between the products of a recurrent cell's fast path: gates and activations of edges.

Compiled where that is possible, else with torch's operators, which keep the bracket of
`recurrent_source.py` and its slope for backward, not to find all activations anew.
"""

from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor

from lnas.kernels import CURVES, LeavingEdges, readable
from lnas.operations.activations import Curves
from lnas.supernet.recurrent_source import Source


def source_for(like: Tensor) -> type[Source]:
    """Return who computes the edges of states of the device and kind of `like`."""
    return CompiledSource if readable(like) else PlainSource


def in_a_row(numbers: Sequence[int]) -> slice | list[int]:
    """Return numbers that ascend one by one as a slice: a view, where a list would be a copy."""
    first, end = numbers[0], numbers[-1] + 1
    return slice(first, end) if list(numbers) == list(range(first, end)) else list(numbers)


@final
class CompiledSource(Source):
    """With compiled functions, in one reading of the products."""

    def make_room(self, steps: int, streams: int) -> None:
        """See `Source.make_room`."""
        super().make_room(steps, streams)
        weights = self.like.new_zeros(len(self.targets), len(CURVES) + 1)
        for part, names, gates in zip(self.parts, self.curves, self.gates, strict=True):
            for name, gate in zip(names, gates.unbind(1), strict=True):
                weights[part, CURVES.index(name)] += gate
                weights[part, -1] += gate
        self.edges = LeavingEdges(self.targets, weights, streams, self.learns_gates)

    def _add_edges(self, place: int, state: Tensor, sums: Tensor) -> None:
        self.edges.read(self.pairs[place], state, sums)

    def _learn_edges(self, place: int, state: Tensor, of_sums: Tensor, of_state: Tensor) -> None:
        self.edges.learn(self.pairs[place], state, of_sums, of_state)

    def _gate_gradient(self, group: int, curve: str) -> Tensor:
        assert self.edges.products is not None
        found = self.edges.products[:, self.parts[group]].sum(0)
        return found[:, CURVES.index(curve)] + found[:, -1]


@final
class PlainSource(Source):
    """With torch's operators."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.total = torch.cat([values.sum(1, keepdim=True) for values in self.gates])
        self.where = in_a_row(self.targets)
        self.products: list[dict[str, Tensor]] = []
        self.around: Tensor | None = None

    def make_room(self, steps: int, streams: int) -> None:
        """See `Source.make_room`."""
        super().make_room(steps, streams)
        self.brackets = torch.empty_like(self.pairs[:, :, 0])
        # Who does not ask for the gradients of the gates needs no points any more.
        points = self.pairs[:, :, 1]
        self.slopes = torch.empty_like(self.brackets) if self.learns_gates else points
        if self.learns_gates:
            self.around = torch.zeros_like(self.brackets[0])
            self.products = [
                {name: torch.zeros_like(self.around[:, part]) for name in names}
                for part, names in zip(self.parts, self.curves, strict=True)
            ]

    def remembered(self) -> list[Tensor]:
        """See `Source.remembered`."""
        return [*super().remembered(), self.brackets, self.slopes]

    def _add_edges(self, place: int, state: Tensor, sums: Tensor) -> None:
        pair, bracket = self.pairs[place], self.brackets[place]
        gate, state = pair[:, 0].sigmoid_(), state[:, None]
        torch.mul(state, -self.total, out=bracket)
        for group, part in enumerate(self.parts):
            curves = Curves(pair[:, 1, part])
            for name, weight in self._weighed(group):
                bracket[:, part].addcmul_(curves.value(name), weight)
            if self.keeps:
                self._write_slopes(group, curves, self.slopes[place, :, part])
        sums[self.where] += (gate * bracket).addcmul_(state, self.total).transpose(0, 1)

    def _learn_edges(self, place: int, state: Tensor, of_sums: Tensor, of_state: Tensor) -> None:
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
