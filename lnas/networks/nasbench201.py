"""The stand-alone network of NAS-Bench-201.

Section 2 of Dong and Yang, arXiv:2001.00326, as released: affine normalisations, convolutions
without bias, three stages of N cells with residual reductions between.
"""

from typing import final

import torch
from torch import Tensor, nn

from lnas.genotype import Genotype
from lnas.networks.base import ImageNetwork
from lnas.networks.cells import GenotypeEdges
from lnas.operations.skeleton import Head, Stem
from lnas.supernet.nasbench201 import ResidualCell
from lnas.tasks import Output, State


class DerivedNasBench201Cell(nn.Module):
    """A cell of sums whose last node is the output.

    Args:
        genotype: A genotype with the cell "cell".
        channels: Channels of each state.
    """

    def __init__(self, genotype: Genotype, channels: int) -> None:
        super().__init__()
        self.edges = GenotypeEdges(genotype, "cell", channels)

    def forward(self, x: Tensor, scales: Tensor | None = None) -> Tensor:
        """Return the last node, (N, C, H, W)."""
        nodes: dict[int, Tensor] = self.edges([x], x, scales)
        return nodes[self.edges.nodes[-1]]


@final
class NasBench201Network(ImageNetwork):
    """One architecture of the benchmark.

    Args:
        genotype: A genotype of the NAS-Bench-201 space.
        channels: Channels of the first stage; doubled at each reduction.
        cells: Number of cells N of each of the three stages.
        num_classes: Number of classes.
        image_channels: Channels of the images.

    Raises:
        InputError: The genotype is of another space, or a number is not positive.
    """

    halvings = 2

    def __init__(
        self,
        genotype: Genotype,
        channels: int = 16,
        cells: int = 5,
        num_classes: int = 10,
        image_channels: int = 3,
    ) -> None:
        super().__init__(
            genotype,
            "nasbench201",
            channels=channels,
            cells=cells,
            num_classes=num_classes,
            image_channels=image_channels,
        )
        self.stem = Stem(image_channels, channels)
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage:
                self.cells.append(ResidualCell(channels, 2 * channels))
                channels *= 2
            self.cells.extend(DerivedNasBench201Cell(genotype, channels) for _ in range(cells))
        self.head = Head(channels)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, inputs: Tensor, state: State = None) -> Output:
        """Return class scores, (N, classes)."""
        derived = [cell for cell in self.cells if isinstance(cell, DerivedNasBench201Cell)]
        counts = [cell.edges.paths for cell in derived]
        inputs, scales = self._prepare(inputs, sum(counts))
        shares = iter([None] * len(derived) if scales is None else torch.split(scales, counts))
        x = self.stem(inputs)
        for cell in self.cells:
            x = cell(x, next(shares)) if isinstance(cell, DerivedNasBench201Cell) else cell(x)
        return Output(self.classifier(self.head(x)))
