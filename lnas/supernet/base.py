"""Supernet: every candidate network of a space at once, weighed by gates.

It is pure in inputs, gates and weights: it never sees logits, and randomness comes in from outside.
There are two ways through one set of weights: the reference path computes one operation of one edge
at a time and knows every operation; the fused path shares work and computes the same numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.operations import check_halvings
from lnas.operations.convolutional import Noise
from lnas.relaxations import CellGates, GateSample
from lnas.seeds import generator
from lnas.spaces import SearchSpace
from lnas.supernet.auxiliary import with_auxiliary
from lnas.supernet.extras import Extras
from lnas.tasks import Output, State

Path = Literal["fused", "reference"]
NUMBERS = ("auxiliary_skip",)


class Supernet(nn.Module, ABC):
    """The network of a search.

    Args:
        space: The search space.
        node_norm: Normalise the sum of each node, without scale and shift: what gates that do not
            sum up to 1 need.
        partial_channels: K; only the first 1/K of a state's channels go through the operations of
            an edge, the others around them (PC-DARTS: 4). 1: all.
        auxiliary_skip: Weight of an auxiliary skip on each edge (DARTS-: 1, annealed to 0). None:
            there is none.

    Attributes:
        cell_types_of_cells: Cell type of each searched cell, in order.
        halvings: How often the image is halved; see `operations.check_halvings`.
    """

    cell_types_of_cells: list[str]
    halvings: int
    auxiliary_skip: Tensor | None

    def __init__(
        self,
        space: SearchSpace,
        node_norm: bool = False,
        partial_channels: int = 1,
        auxiliary_skip: float | None = None,
    ) -> None:
        super().__init__()
        self.space = space
        self.extras = Extras(node_norm, partial_channels, auxiliary_skip is not None)
        self._register_number("auxiliary_skip", auxiliary_skip)
        self._path: Path = "fused"
        self._draw: tuple[int | str, ...] | None = None

    @abstractmethod
    def forward(
        self,
        inputs: Tensor,
        sample: GateSample | Mapping[str, Tensor],
        state: State = None,
    ) -> Output:
        """Run the supernet.

        Args:
            inputs: One batch; images are (N, channels, H, W).
            sample: Gates per cell type, (edges, ops) or (cells, edges, ops).
            state: What a recurrent supernet carries from batch to batch.
        """

    @property
    def annealable(self) -> tuple[str, ...]:
        """Names of the buffers that a callback may anneal: the numbers that this supernet has."""
        return tuple(name for name in NUMBERS if getattr(self, name, None) is not None)

    @property
    def normalizes_nodes(self) -> bool:
        """Whether the sum of each node is normalised."""
        return self.extras.node_norm

    @property
    def path(self) -> Path:
        """The way through: `fused`, or `reference`, which alone has second derivatives."""
        return self._path

    @path.setter
    def path(self, path: Path) -> None:
        if path not in get_args(Path):
            raise InputError(f"unknown path {path!r}; choose one of {', '.join(get_args(Path))}")
        self._path = path

    @contextmanager
    def using(self, path: Path) -> Iterator[None]:
        """Take `path` inside the block."""
        before = self.path
        self.path = path
        try:
            yield
        finally:
            self.path = before

    def set_draw(self, *parts: int | str) -> None:
        """Make the noise operation of the next forwards a pure function of `parts`."""
        self._draw = parts

    def _register_number(self, name: str, value: float | None) -> None:
        """Keep a number that may be annealed in checkpoints; None leaves no trace in them."""
        number = None if value is None else torch.tensor(float(value), dtype=torch.float64)
        self.register_buffer(name, number)

    def _cell_gates(self, sample: GateSample, cell_type: str, index: int) -> CellGates:
        """Return the gates of a cell with what the extras add to them.

        Args:
            sample: The gates of the pass.
            cell_type: Type of the cell.
            index: Position of the cell among those of its type.
        """
        gates = sample.cell(cell_type, index)
        if self.auxiliary_skip is not None:
            gates = with_auxiliary(gates, self.auxiliary_skip, sample.derived)
        return gates

    def _prepare(self, inputs: Tensor) -> Tensor:
        """Check the size of images, bring them into the path's layout, start noise operations."""
        check_halvings(inputs.shape[-2], inputs.shape[-1], self.halvings)
        if self._draw is not None:
            for name, module in self.named_modules():
                if isinstance(module, Noise):
                    module.generator = generator(*self._draw, "noise", name)
        if self.path == "fused" and inputs.device.type == "cpu":
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs
