"""The search network of DARTS: a stem, normal and reduction cells, a classifier.

Section 3.1 and appendix A of arXiv:1806.09055, as released: reduction cells at one third and two
thirds of the depth double the channels; each cell reads the two cells before it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.operations.reduction import HalvingPreprocess, Preprocess
from lnas.operations.skeleton import Head, Stem
from lnas.relaxations import CellGates, GateSample
from lnas.spaces import SearchSpace
from lnas.supernet.base import Path, Supernet
from lnas.supernet.edges import SearchEdges
from lnas.supernet.extras import Extras
from lnas.tasks import Output, State


class DartsCell(nn.Module):
    """Two inputs, nodes in a directed acyclic graph, all nodes concatenated.

    Args:
        space: The search space.
        cell_type: Cell type of the space.
        inputs: Channels of the two cells before, the farther one first.
        channels: Channels C of each node.
        reduction: Edges from the inputs have stride 2.
        after_reduction: The cell before halved the image.
        extras: What the cell has beside the operations.
    """

    def __init__(
        self,
        space: SearchSpace,
        cell_type: str,
        inputs: tuple[int, int],
        channels: int,
        reduction: bool,
        after_reduction: bool,
        extras: Extras,
    ) -> None:
        super().__init__()
        far = HalvingPreprocess if after_reduction else Preprocess
        self.preprocess0 = far(inputs[0], channels, affine=False)
        self.preprocess1 = Preprocess(inputs[1], channels, affine=False)
        self.edges = SearchEdges(
            space,
            cell_type,
            channels,
            lambda edge: 2 if reduction and edge.source < 2 else 1,
            search=True,
            extras=extras,
        )
        self.node_norms = extras.node_norms(space, channels)

    def forward(self, far: Tensor, near: Tensor, gates: CellGates, path: Path) -> Tensor:
        """Return the cell's output, (N, nodes * C, H, W)."""
        return self.give(self.edges(self.read(far, near), gates, path, self.node_norms))

    def read(self, *given: Tensor) -> list[Tensor]:
        """Return the two input states, each (N, C, H, W)."""
        far, near = given
        return [self.preprocess0(far), self.preprocess1(near)]

    def give(self, states: list[Tensor]) -> Tensor:
        """Return the nodes among the states, concatenated."""
        return torch.cat(states[2:], 1)


class ConvolutionalSupernet(Supernet):
    """The supernet of DARTS-like spaces.

    Args:
        space: A space with two inputs per cell, e.g. `DartsSpace`.
        channels: Channels of the first cell's nodes.
        layers: Number of cells.
        num_classes: Number of classes.
        stem_multiplier: The stem has this many times `channels`.
        image_channels: Channels of the images.
        reductions: Place the reduction cells; without them all cells are normal and the image is
            never halved, as in studies of wiring.
        classifier_bias: The classifier adds a bias.
        head_norm: Normalise and rectify what the last cell gives before the mean over the image, as
            PR-DARTS does; DARTS does not.
        **options: What every supernet can have beside the operations; see `Supernet`.

    Raises:
        InputError: The space's cells do not have two inputs, or a number is not positive.
    """

    def __init__(
        self,
        space: SearchSpace,
        channels: int = 16,
        layers: int = 8,
        num_classes: int = 10,
        stem_multiplier: int = 3,
        image_channels: int = 3,
        reductions: bool = True,
        classifier_bias: bool = True,
        head_norm: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(space, **options)
        if space.inputs != 2:
            raise InputError(
                f"space {space.name!r} has {space.inputs} inputs per cell; the convolutional "
                "supernet needs 2: choose DartsSpace, or the supernet of the space"
            )
        if min(channels, layers, num_classes) < 1:
            raise InputError(
                f"channels={channels}, layers={layers}, num_classes={num_classes}; "
                "each must be at least 1"
            )
        self.extras.check(channels)
        stem = stem_multiplier * channels
        self.stem = Stem(image_channels, stem)
        self.cells = nn.ModuleList()
        self.cell_types_of_cells = []
        far, near, after_reduction = stem, stem, False
        halved = (layers // 3, 2 * layers // 3) if reductions else ()
        for index in range(layers):
            reduction = "reduce" in space.cell_types and index in halved
            channels *= 2 if reduction else 1
            cell_type = "reduce" if reduction else "normal"
            inputs = far, near
            cell = DartsCell(
                space, cell_type, inputs, channels, reduction, after_reduction, self.extras
            )
            self.cells.append(cell)
            self.cell_types_of_cells.append(cell_type)
            far, near, after_reduction = near, space.nodes * channels, reduction
        self.halvings = self.cell_types_of_cells.count("reduce")
        self.head = Head(near) if head_norm else None
        self.classifier = nn.Linear(near, num_classes, bias=classifier_bias)

    def forward(
        self,
        inputs: Tensor,
        sample: GateSample | Mapping[str, Tensor],
        state: State = None,
    ) -> Output:
        """Return class scores, (N, classes); see `Supernet.forward`."""
        gates = GateSample.of(sample)
        far = near = self._begin(inputs)
        types = self.cell_types_of_cells
        for index, (cell, cell_type) in enumerate(zip(self.cells, types, strict=True)):
            position = types[:index].count(cell_type)
            cell_gates = self._cell_gates(gates, cell_type, position, inputs)
            far, near = near, self._through(index, cell, (far, near), cell_gates)
        features = near.mean((2, 3)) if self.head is None else self.head(near)
        return Output(self.classifier(features))
