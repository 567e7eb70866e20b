"""Digits: 1,797 handwritten digits of 8x8 grey pixels, embedded in scikit-learn (the default data).

From the UCI "Optical Recognition of Handwritten Digits" set (Alpaydin and Kaynak, 1998). It comes
without a test set and in the order of its writers: a fixed fifth, balanced over the classes, is
the test set here.
"""

from typing import Any

import torch
from torch import Tensor

from lnas.data.augmentation import MapStyle, ShiftAndFlip, View
from lnas.data.base import StreamData, normalize
from lnas.data.tensors import Images

TEST_IMAGES = 360
MEAN, STD = (0.305,), (0.376,)  # of all 1,797 images, values in [0, 1]


class Digits(StreamData):
    """Scikit-learn's digits, image shape (1, 8, 8), 10 classes, 1,437 training and 360 test images.

    Args:
        batch_size: Images in a batch, over all ranks.
        split_seed: Seed of the shuffle before the split; None keeps the order.
        options: Those of `StreamData`.
    """

    def __init__(self, batch_size: int = 64, split_seed: int | None = 0, **options: Any) -> None:
        images = 1797 - TEST_IMAGES
        super().__init__(
            10, (1, 8, 8), images, batch_size=batch_size, split_seed=split_seed, **options
        )

    def load_train(self) -> MapStyle:
        """Read the training images as float32 in [0, 1]."""
        return self._read()[0]

    def load_test(self) -> MapStyle:
        """Read the test images, which are the same for every seed."""
        return self._read()[1]

    @staticmethod
    def _read() -> tuple[Images, Images]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        stored = load_digits()
        images = torch.from_numpy(stored.images).float().div(16).unsqueeze(1)
        labels = torch.from_numpy(stored.target).long()
        train, test = train_test_split(
            range(len(labels)), test_size=TEST_IMAGES, stratify=stored.target, random_state=0
        )
        return Images(images[train], labels[train]), Images(images[test], labels[test])

    def random_view(self) -> View:
        """Shift the image by at most one pixel."""
        return ShiftAndFlip(padding=1, flip=False)

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise with the mean and standard deviation of all images."""
        return normalize(images, MEAN, STD)
