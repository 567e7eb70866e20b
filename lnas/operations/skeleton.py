"""What stands outside the searched cells: the stem, the head, the residual reduction.

The stem is that of DARTS (arXiv:1806.09055) and NAS-Bench-201 (Dong, Yang, arXiv:2001.00326), the
head and the residual block those of the latter, all as released.
"""

from torch import Tensor, nn
from torch.nn import functional

from lnas.operations.normalization import BatchNorm2d


class Stem(nn.Module):
    """3x3 convolution and affine normalisation, no ReLU.

    Args:
        inputs: Channels of the images.
        outputs: Channels that go out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Apply, (N, inputs, H, W) -> (N, outputs, H, W)."""
        output: Tensor = self.bn(self.conv(x))
        return output


class Head(nn.Module):
    """The last normalisation, ReLU, mean over the image.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features, (N, C)."""
        return functional.relu(self.bn(x)).mean((2, 3))


class ResidualReduction(nn.Module):
    """Two ReLU-Conv3x3-BN, the first of stride 2, beside average pooling and a 1x1 convolution.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.bn1 = BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply, (N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
        deep = self.bn1(self.conv1(functional.relu(x)))
        deep = self.bn2(self.conv2(functional.relu(deep)))
        output: Tensor = deep + self.shortcut(functional.avg_pool2d(x, 2))
        return output
