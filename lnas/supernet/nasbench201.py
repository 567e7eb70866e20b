"""The search network of NAS-Bench-201: three stages of cells with residual reductions between.

Section 2 of Dong and Yang, arXiv:2001.00326, as released: a cell is a sum over all earlier states
at each of its three nodes, its output the last node. The normalisations of search cells are not
affine, their convolutions have a bias, and pools are not normalised.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.operations.skeleton import Head, ResidualReduction, Stem
from lnas.relaxations import CellGates, GateSample
from lnas.spaces import SearchSpace
from lnas.supernet.base import Path, Supernet
from lnas.supernet.edges import SearchEdges
from lnas.supernet.extras import Extras
from lnas.tasks import Output, State


class NasBench201Cell(nn.Module):
    """One input, nodes in a directed acyclic graph, the last node is the output.

    Operations of which nothing reaches the output are inactive, whatever the sample says: they get
    no gradients, and their statistics stand still.

    Args:
        space: The search space.
        channels: Channels of each state.
        extras: What the cell has beside the operations.
    """

    def __init__(self, space: SearchSpace, channels: int, extras: Extras) -> None:
        super().__init__()
        kind = space.cell_types[0]
        self.edges = SearchEdges(space, kind, channels, lambda edge: 1, search=False, extras=extras)
        self.node_norms = extras.node_norms(space, channels)

    def forward(self, x: Tensor, gates: CellGates, path: Path) -> Tensor:
        """Return the cell's output, (N, C, H, W)."""
        if gates.active is not None:
            gates = replace(gates, active=self._reaching(gates.active))
        return self.give(self.edges(self.read(x), gates, path, self.node_norms))

    def _reaching(self, active: Tensor) -> Tensor:
        """Return which active operations, (edges, ops), the output depends on."""
        space = self.edges.space
        computed = torch.tensor([name != "none" for name in self.edges.names])
        carries = (active & computed).any(1).tolist()
        reaching = {space.edges[-1].target}
        for node in range(space.edges[-1].target - 1, space.inputs - 1, -1):
            ways = zip(space.edges, carries, strict=True)
            if any(on and e.source == node and e.target in reaching for e, on in ways):
                reaching.add(node)
        return active & torch.tensor([[edge.target in reaching] for edge in space.edges])

    def read(self, *given: Tensor) -> list[Tensor]:
        """Return the input state, (N, C, H, W)."""
        return list(given)

    def give(self, states: list[Tensor]) -> Tensor:
        """Return the last node."""
        return states[-1]


class ResidualCell(nn.Module):
    """A residual reduction in the place of a cell; it has no gates.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = ResidualReduction(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H / 2, W / 2)."""
        output: Tensor = self.residual(x)
        return output


class NasBench201Supernet(Supernet):
    """The supernet of NAS-Bench-201.

    Args:
        space: A space with one input per cell and one cell type, e.g. `NasBench201Space`.
        channels: Channels of the first stage; doubled at each reduction.
        cells: Number of cells N of each of the three stages.
        num_classes: Number of classes.
        image_channels: Channels of the images.
        **options: What every supernet can have beside the operations; see `Supernet`.

    Raises:
        InputError: The space does not fit, or a number is not positive.
    """

    halvings = 2

    def __init__(
        self,
        space: SearchSpace,
        channels: int = 16,
        cells: int = 5,
        num_classes: int = 10,
        image_channels: int = 3,
        **options: Any,
    ) -> None:
        super().__init__(space, **options)
        if space.inputs != 1 or len(space.cell_types) != 1:
            raise InputError(
                f"space {space.name!r} has {space.inputs} inputs per cell and cell types "
                f"{', '.join(space.cell_types)}; this supernet needs one of each: choose "
                "NasBench201Space, or the supernet of the space"
            )
        if min(channels, cells, num_classes) < 1:
            raise InputError(
                f"channels={channels}, cells={cells}, num_classes={num_classes}; "
                "each must be at least 1"
            )
        self.extras.check(channels)
        self.stem = Stem(image_channels, channels)
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage:
                self.cells.append(ResidualCell(channels, 2 * channels))
                channels *= 2
            self.cells.extend(NasBench201Cell(space, channels, self.extras) for _ in range(cells))
        self.cell_types_of_cells = [space.cell_types[0]] * (3 * cells)
        self.head = Head(channels)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(
        self,
        inputs: Tensor,
        sample: GateSample | Mapping[str, Tensor],
        state: State = None,
    ) -> Output:
        """Return class scores, (N, classes); see `Supernet.forward`."""
        gates = GateSample.of(sample)
        x = self._begin(inputs)
        searched = 0
        for cell in self.cells:
            if isinstance(cell, NasBench201Cell):
                kind = self.space.cell_types[0]
                x = self._through(
                    searched, cell, (x,), self._cell_gates(gates, kind, searched, inputs)
                )
                searched += 1
            else:
                x = cell(x)
        return Output(self.classifier(self.head(x)))
