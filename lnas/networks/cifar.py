"""The evaluation network of DARTS for CIFAR.

Section 3.1 and appendix A of Liu et al., arXiv:1806.09055, as released: all normalisations are
affine, pools are not normalised, the auxiliary head has weight 0.4 in the loss (see the task).
"""

from typing import final

from torch import Tensor

from lnas.genotype import Genotype
from lnas.networks.auxiliary import AuxiliaryHead
from lnas.networks.stacked import StackedNetwork
from lnas.operations.skeleton import Stem


@final
class CifarNetwork(StackedNetwork):
    """Cells on small images, e.g. 32x32.

    Args:
        genotype: A genotype of the DARTS space.
        channels: Channels of the first cell's nodes.
        layers: Number of cells.
        num_classes: Number of classes.
        auxiliary: Have the auxiliary head; it needs 8x8 pixels after the reductions.
        stem_multiplier: The stem has this many times `channels`.
        image_channels: Channels of the images.

    Raises:
        InputError: The genotype is of another space, or a number is not positive.
    """

    def __init__(
        self,
        genotype: Genotype,
        channels: int = 36,
        layers: int = 20,
        num_classes: int = 10,
        auxiliary: bool = False,
        stem_multiplier: int = 3,
        image_channels: int = 3,
    ) -> None:
        stem = stem_multiplier * channels
        super().__init__(
            genotype, channels, layers, num_classes, image_channels, stem, 0, after_reduction=False
        )
        self.stem = Stem(image_channels, stem)
        if auxiliary:
            self.auxiliary = AuxiliaryHead(self.auxiliary_channels, num_classes, 3, normalize=True)

    def _stem(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.stem(images)
        return features, features
