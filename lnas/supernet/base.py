"""Supernet: every candidate network of a space at once, weighed by gates.

It is pure in inputs, gates and weights: it never sees logits, and randomness comes in from outside.
There are two ways through one set of weights: the reference path computes one operation of one edge
at a time and knows every operation; the fused path shares work and computes the same numbers.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.operations import check_halvings
from lnas.operations.convolutional import Noise
from lnas.operations.dropout import SkipDropout, keep_factors
from lnas.relaxations import CellGates, GateSample
from lnas.seeds import generator
from lnas.spaces import SearchSpace
from lnas.supernet.auxiliary import with_auxiliary
from lnas.supernet.batched import batches_edges
from lnas.supernet.extras import Extras
from lnas.supernet.recall import Recall, SearchedCell
from lnas.tasks import Output, State
from lnas.walking import modules_of

Path = Literal["fused", "reference"]
Unit = Literal["operation", "edge"]
CellCall = Callable[[nn.Module, tuple[Tensor, ...], CellGates, Path], Tensor]
"""`call(cell, given, gates, path)`: how the output of a searched cell is computed."""

NUMBERS = ("auxiliary_skip", "drop_path", "skip_dropout")


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
        drop_path: Probability to drop an operation's output for an image, others being scaled up.
            None: nothing is dropped.
        drop_path_unit: "operation" drops each operation of an edge by itself; "edge" all of an edge
            together, as the released SNAS does.
        skip_dropout: Probability to drop an element behind a skip connection of stride 1 (P-DARTS).
            None: there is no such dropout.

    Attributes:
        cell_types_of_cells: Cell type of each searched cell, in order.
        halvings: How often the image is halved; see `operations.check_halvings`.
        cell_call: How a searched cell is called; a memory option puts another way here.
    """

    cell_types_of_cells: list[str]
    halvings: int
    auxiliary_skip: Tensor | None
    drop_path: Tensor | None
    skip_dropout: Tensor | None

    def __init__(
        self,
        space: SearchSpace,
        node_norm: bool = False,
        partial_channels: int = 1,
        auxiliary_skip: float | None = None,
        drop_path: float | None = None,
        drop_path_unit: Unit = "operation",
        skip_dropout: float | None = None,
    ) -> None:
        super().__init__()
        for name, rate in (("drop_path", drop_path), ("skip_dropout", skip_dropout)):
            if rate is not None and not 0 <= rate < 1:
                raise InputError(f"{name}={rate} is no probability; choose one in [0, 1).")
        if drop_path_unit not in get_args(Unit):
            allowed = ", ".join(get_args(Unit))
            raise InputError(f"unknown drop_path_unit {drop_path_unit!r}; choose one of {allowed}")
        self.space, self.drop_path_unit = space, drop_path_unit
        self.extras = Extras(
            node_norm, partial_channels, auxiliary_skip is not None, skip_dropout is not None
        )
        for name, value in zip(NUMBERS, (auxiliary_skip, drop_path, skip_dropout), strict=True):
            number = None if value is None else torch.tensor(float(value), dtype=torch.float64)
            self.register_buffer(name, number)
        self._drops = True
        self._path: Path = "fused"
        self._draw: tuple[int | str, ...] | None = None
        self._recall: Recall | None = None
        self.cell_call: CellCall = plain

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
    def is_random(self) -> bool:
        """Whether a training pass draws more than gates: dropped paths and skips, noise."""
        drawn = any(isinstance(module, Noise) for module in self.modules())
        return drawn or self.drop_path is not None or self.skip_dropout is not None

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

    @contextmanager
    def recalling(self) -> Iterator[None]:
        """Compute once what passes of one batch have in common; without gradients, in the block.

        Weights, statistics mode and what is random must stay as they are.
        """
        self._recall = Recall()
        try:
            yield
        finally:
            self._recall = None

    def set_draw(self, *parts: int | str, dropout: bool = True) -> None:
        """Make what is random in the next forwards a pure function of `parts`.

        Args:
            parts: E.g. seed, purpose, rank, step.
            dropout: Paths and skips may be dropped; not where the supernet is measured. Evaluation
                mode drops none either.
        """
        self._draw, self._drops = parts, dropout

    def _cell_gates(
        self, sample: GateSample, cell_type: str, index: int, inputs: Tensor
    ) -> CellGates:
        """Return the gates of a cell with what the options add to them.

        Args:
            sample: The gates of the pass.
            cell_type: Type of the cell.
            index: Position of the cell among those of its type.
            inputs: The batch.
        """
        gates = sample.cell(cell_type, index)
        if self.auxiliary_skip is not None:
            gates = with_auxiliary(gates, self.auxiliary_skip, sample.derived)
        if self.drop_path is not None and self._dropping:
            rows, columns = gates.gates.shape
            drawn = rows, columns if self.drop_path_unit == "operation" else 1, len(inputs)
            numbers = self._generator(inputs.device, "drop path", cell_type, index)
            factors = keep_factors(drawn, numbers, self.drop_path, inputs.dtype)
            gates = dataclasses.replace(gates, factors=factors.expand(-1, columns, -1))
        return gates

    def _begin(self, images: Tensor) -> Tensor:
        """Return what the stem makes of the batch."""
        prepared, stem = self._prepare(images), self.get_submodule("stem")
        if self._recall is None:
            first: Tensor = stem(prepared)
            return first
        return self._recall.stem(images, lambda: stem(prepared))

    def _through(
        self, index: int, cell: nn.Module, given: tuple[Tensor, ...], gates: CellGates
    ) -> Tensor:
        """Return the output of the searched cell at a place, made of what it reads."""
        if self._recall is None or gates.factors is not None:
            return self.cell_call(cell, given, gates, self.path)
        return self._recall.cell(index, cast(SearchedCell, cell), given, gates, self.path)

    @property
    def _dropping(self) -> bool:
        """Whether paths and skips are dropped in this forward."""
        return self._drops and self.training

    def _generator(self, device: torch.device, *what: int | str) -> torch.Generator:
        if self._draw is None:
            raise InputError(
                "This supernet drops paths or skips and nothing says which; call "
                "set_draw(seed, rank, step) before each batch, or set_draw(..., dropout=False)."
            )
        return generator(*self._draw, *what, device=device)

    def _prepare(self, inputs: Tensor) -> Tensor:
        """Check the size of images, bring them into the path's layout, start what is random."""
        check_halvings(inputs.shape[-2], inputs.shape[-1], self.halvings)
        kinds = {type(module) for module in modules_of(self)}
        if any(issubclass(kind, (Noise, SkipDropout)) for kind in kinds):
            self._start_random(inputs.device)
        if self.path == "fused" and _likes_channels_last(inputs):
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def _start_random(self, device: torch.device) -> None:
        for name, module in self.named_modules():
            if isinstance(module, Noise) and self._draw is not None:
                module.generator = generator(*self._draw, "noise", name)
            elif isinstance(module, SkipDropout):
                module.rate, module.generator = self.skip_dropout, None
                if self._dropping:
                    module.generator = self._generator(device, "skip dropout", name)


def _likes_channels_last(images: Tensor) -> bool:
    """Whether the fused path is faster with channels last: on CPUs, if edges stand alone."""
    return images.device.type == "cpu" and not batches_edges(images)


def plain(cell: nn.Module, given: tuple[Tensor, ...], gates: CellGates, path: Path) -> Tensor:
    """Call a searched cell; see `CellCall`."""
    output: Tensor = cell(*given, gates, path)
    return output
