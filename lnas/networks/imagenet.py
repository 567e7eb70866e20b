"""The evaluation network of DARTS for ImageNet in the mobile setting.

Section 3.3 and appendix A of Liu et al., arXiv:1806.09055, as released: three strided convolutions
before the cells, and an auxiliary head without a second normalisation.
"""

from typing import final

from torch import Tensor, nn
from torch.nn import functional

from lnas.genotype import Genotype
from lnas.networks.auxiliary import AuxiliaryHead
from lnas.networks.stacked import StackedNetwork
from lnas.operations import BatchNorm2d
from lnas.tasks import ImageExamples


class FirstStem(nn.Module):
    """Two strided 3x3 convolutions: (N, image channels, H, W) -> (N, C, H / 4, W / 4).

    Args:
        inputs: Channels of the images.
        outputs: Channels C.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = BatchNorm2d(outputs // 2)
        self.conv2 = nn.Conv2d(outputs // 2, outputs, 3, stride=2, padding=1, bias=False)
        self.bn2 = BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        output: Tensor = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return output


class SecondStem(nn.Module):
    """One more: (N, C, H / 4, W / 4) -> (N, C, H / 8, W / 8).

    Args:
        channels: Channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        output: Tensor = self.bn1(self.conv1(functional.relu(x)))
        return output


@final
class ImageNetNetwork(StackedNetwork):
    """Cells on large images, e.g. 224x224.

    Args:
        genotype: A genotype of the DARTS space.
        channels: Channels of the first cell's nodes, even.
        layers: Number of cells.
        num_classes: Number of classes.
        auxiliary: Have the auxiliary head; it needs 7x7 pixels after the reductions.
        image_channels: Channels of the images.

    Raises:
        InputError: The genotype is of another space, or a number is not positive, or odd.
    """

    examples = ImageExamples(1000, (3, 224, 224))

    def __init__(
        self,
        genotype: Genotype,
        channels: int = 48,
        layers: int = 14,
        num_classes: int = 1000,
        auxiliary: bool = False,
        image_channels: int = 3,
    ) -> None:
        super().__init__(
            genotype,
            channels,
            layers,
            num_classes,
            image_channels,
            stem=channels,
            stem_halvings=3,
            after_reduction=True,
        )
        self.stem0 = FirstStem(image_channels, channels)
        self.stem1 = SecondStem(channels)
        if auxiliary:
            self.auxiliary = AuxiliaryHead(self.auxiliary_channels, num_classes, 2, normalize=False)

    def _stem(self, images: Tensor) -> tuple[Tensor, Tensor]:
        far = self.stem0(images)
        return far, self.stem1(far)
