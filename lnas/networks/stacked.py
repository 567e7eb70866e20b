"""What the networks for CIFAR and ImageNet share: a stack of normal and reduction cells.

Reduction cells at one third and two thirds of the depth double the channels; the auxiliary head
reads the second one (appendix A of Liu et al., DARTS, arXiv:1806.09055).
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lnas.genotype import Genotype
from lnas.networks.auxiliary import AuxiliaryHead
from lnas.networks.base import ImageNetwork
from lnas.networks.cells import DerivedCell
from lnas.tasks import Output, State


class StackedNetwork(ImageNetwork):
    """Stem, cells that read the two cells before them, mean over the image, classifier.

    Args:
        genotype: A genotype with cells "normal" and "reduce".
        channels: Channels of the first cell's nodes.
        layers: Number of cells.
        num_classes: Number of classes.
        image_channels: Channels of the images.
        stem: Channels that the stem hands to the first cell, both times.
        stem_halvings: How often the stem halves the image, the nearer of its two outputs.
        after_reduction: The farther output of the stem is twice as large.
    """

    def __init__(
        self,
        genotype: Genotype,
        channels: int,
        layers: int,
        num_classes: int,
        image_channels: int,
        stem: int,
        stem_halvings: int,
        after_reduction: bool,
    ) -> None:
        super().__init__(
            genotype,
            "darts",
            channels=channels,
            layers=layers,
            num_classes=num_classes,
            image_channels=image_channels,
        )
        reductions = {layers // 3, 2 * layers // 3}
        self.halvings = stem_halvings + len(reductions)
        self.auxiliary_index = 2 * layers // 3
        self.cells = nn.ModuleList()
        far = near = stem
        for index in range(layers):
            cell_type = "reduce" if index in reductions else "normal"
            channels *= 2 if cell_type == "reduce" else 1
            cell = DerivedCell(genotype, cell_type, (far, near), channels, after_reduction)
            self.cells.append(cell)
            far, near, after_reduction = near, cell.outputs, cell_type == "reduce"
            if index == self.auxiliary_index:
                self.auxiliary_channels = near
        self.auxiliary: AuxiliaryHead | None = None
        self.classifier = nn.Linear(near, num_classes)

    @abstractmethod
    def _stem(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the first cell reads, the farther input first."""

    def forward(self, inputs: Tensor, state: State = None) -> Output:
        """Return class scores (N, classes), and the auxiliary head's in training."""
        cells = [cell for cell in self.cells if isinstance(cell, DerivedCell)]
        counts = [cell.edges.paths for cell in cells]
        inputs, scales = self._prepare(inputs, sum(counts))
        if self.auxiliary is not None:
            height, width = (side >> self.halvings for side in inputs.shape[-2:])
            self.auxiliary.check(height, width)
        shares = [None] * len(cells) if scales is None else torch.split(scales, counts)
        auxiliary = None
        far, near = self._stem(inputs)
        for index, (cell, share) in enumerate(zip(cells, shares, strict=True)):
            far, near = near, cell(far, near, share)
            if index == self.auxiliary_index and self.auxiliary is not None and self.training:
                auxiliary = self.auxiliary(near)
        return Output(self.classifier(near.mean((2, 3))), auxiliary)
