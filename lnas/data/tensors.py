"""Images that are in memory, images of any map-style data set, and fake ones for tests."""

from typing import Any

import torch
from torch import Tensor

from lnas.data.augmentation import MapStyle, ShiftAndFlip, View
from lnas.data.base import StreamData
from lnas.errors import InputError
from lnas.seeds import generator


class Images:
    """A map-style data set of tensors in memory.

    Args:
        images: (N, C, H, W).
        labels: (N,), whole numbers from 0.

    Raises:
        InputError: The shapes do not belong together.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        if images.ndim != 4 or labels.ndim != 1 or len(images) != len(labels) or not len(labels):
            raise InputError(
                f"Got images {tuple(images.shape)} and labels {tuple(labels.shape)}; give images"
                " (N, C, H, W) and labels (N,) of the same N >= 1."
            )
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


class MapStyleData(StreamData):
    """The three streams of any map-style data set of (image tensor (C, H, W), label).

    Args:
        train: Training images and labels.
        test: Test images and labels, for evaluation.
        num_classes: Number of classes.
        transform: Random view of one training image, e.g. a torchvision transform; its random
            numbers must come from torch.
        options: Those of `StreamData`.
    """

    def __init__(
        self,
        train: MapStyle,
        num_classes: int,
        test: MapStyle | None = None,
        transform: View | None = None,
        **options: Any,
    ) -> None:
        if not len(train):
            raise InputError("The training set is empty; give it images.")
        channels, height, width = train[0][0].shape
        super().__init__(num_classes, (channels, height, width), len(train), **options)
        self._train, self._test, self._transform = train, test, transform

    def load_train(self) -> MapStyle:
        """Return the given training set."""
        return self._train

    def load_test(self) -> MapStyle | None:
        """Return the given test set."""
        return self._test

    def random_view(self) -> View | None:
        """Return the given transform."""
        return self._transform


class TensorData(MapStyleData):
    """The three streams of tensors in memory.

    Args:
        images: Training images (N, C, H, W); the network gets them as float32.
        labels: Their classes (N,).
        test_images: Test images (M, C, H, W).
        test_labels: Their classes (M,).
        num_classes: Number of classes; None counts up to the largest label.
        transform: Random view of one training image.
        options: Those of `StreamData`.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        test_images: Tensor | None = None,
        test_labels: Tensor | None = None,
        num_classes: int | None = None,
        transform: View | None = None,
        **options: Any,
    ) -> None:
        train = Images(images, labels)
        test = None
        if test_images is not None and test_labels is not None:
            test = Images(test_images, test_labels)
        classes = num_classes or max(int(labels.max()) + 1, 2)
        super().__init__(train, classes, test, transform, **options)


class FakeImages(StreamData):
    """Noisy copies of one random picture a class: any size, learnable, no files.

    Args:
        images: Number of training images.
        test_images: Number of test images.
        shape: (channels, height, width).
        num_classes: Number of classes.
        noise: Standard deviation of the noise; that of the pictures is 1.
        batch_size: Images in a batch, over all ranks.
        options: Those of `StreamData`.
    """

    def __init__(
        self,
        images: int = 256,
        test_images: int = 64,
        shape: tuple[int, int, int] = (3, 16, 16),
        num_classes: int = 10,
        noise: float = 0.5,
        batch_size: int = 16,
        **options: Any,
    ) -> None:
        if images < 1 or test_images < 1 or min(shape) < 1:
            raise InputError(
                f"FakeImages(images={images}, test_images={test_images}, shape={shape}) needs at"
                " least 1 of everything."
            )
        super().__init__(num_classes, shape, images, batch_size=batch_size, **options)
        self._sizes, self._noise = (images, test_images), noise

    def load_train(self) -> MapStyle:
        """Draw the training images; they are the same for every seed of a run."""
        return self._draw("train", self._sizes[0])

    def load_test(self) -> MapStyle:
        """Draw other copies of the same pictures."""
        return self._draw("test", self._sizes[1])

    def _draw(self, name: str, size: int) -> Images:
        pictures = torch.randn(self.num_classes, *self.image_shape, generator=generator("pictures"))
        labels = torch.arange(size) % self.num_classes
        noise = torch.randn(size, *self.image_shape, generator=generator("noise", name))
        return Images(pictures[labels] + self._noise * noise, labels)

    def random_view(self) -> View:
        """Shift the image by at most one pixel."""
        return ShiftAndFlip(padding=1, flip=False)
