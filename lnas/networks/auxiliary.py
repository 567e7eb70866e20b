"""The auxiliary head: a second classifier on an intermediate cell, for training only.

As in the released DARTS code, after Szegedy et al., 2015.
"""

from torch import Tensor, nn
from torch.nn import functional

from lnas.errors import InputError
from lnas.operations import BatchNorm2d


class AuxiliaryHead(nn.Module):
    """ReLU, average pooling, 1x1 convolution to 128, 2x2 convolution to 768, classifier.

    Deviation: images larger than the published ones are averaged before the classifier.

    Args:
        inputs: Channels that come in.
        num_classes: Number of classes.
        stride: Stride of the 5x5 average pooling.
        normalize: Normalise after the second convolution too.
    """

    def __init__(self, inputs: int, num_classes: int, stride: int, normalize: bool) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, 128, 1, bias=False)
        self.bn1 = BatchNorm2d(128)
        self.conv2 = nn.Conv2d(128, 768, 2, bias=False)
        self.bn2 = BatchNorm2d(768) if normalize else None
        self.classifier = nn.Linear(768, num_classes)

    def check(self, height: int, width: int) -> None:
        """Check the size of the cell's output.

        Raises:
            InputError: It is too small for the pooling and the 2x2 convolution.
        """
        if min(height, width) < 5 + self.stride:
            raise InputError(
                f"The auxiliary head needs {5 + self.stride} or more pixels a side where it reads "
                f"and gets {height}x{width}; use larger images or auxiliary=False."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores, (N, classes), of a cell's output (N, inputs, H, W)."""
        pooled = functional.avg_pool2d(functional.relu(x), 5, self.stride, count_include_pad=False)
        features = self.conv2(functional.relu(self.bn1(self.conv1(pooled))))
        if self.bn2 is not None:
            features = self.bn2(features)
        scores: Tensor = self.classifier(functional.relu(features).mean((2, 3)))
        return scores
