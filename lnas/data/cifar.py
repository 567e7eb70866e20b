"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) with the augmentation of DARTS.

Random crop of the image padded by 4 pixels, horizontal flip, normalisation; cutout for evaluation.
With `held_out=0` the streams of a search are the paper's split: the first half of the training set
for the weights, the second half for the architecture, in the official order.
"""

import os
from pathlib import Path
from typing import Any

from torch import Tensor

from lnas.data import cifar_files
from lnas.data.augmentation import MapStyle, ShiftAndFlip, View
from lnas.data.base import StreamData, normalize
from lnas.errors import InputError


class Cifar(StreamData):
    """What CIFAR-10 and CIFAR-100 share; see there."""

    def __init__(
        self,
        classes: int,
        root: str | Path | None,
        download: bool,
        image_size: int,
        train_images: int | None,
        **options: Any,
    ) -> None:
        given = root or os.environ.get("LNAS_DATA")
        if not given:
            raise InputError(
                f"CIFAR{classes} does not know where its images are; set root, or the environment"
                " variable LNAS_DATA, to their folder."
            )
        if not 4 <= image_size <= cifar_files.SIDE:
            raise InputError(f"image_size={image_size} is not allowed; choose 4 to 32 pixels.")
        self.folder = cifar_files.locate(Path(given), classes, download)
        self.download, self.train_images = download, train_images
        images = cifar_files.training_images(self.folder)
        if train_images is not None and not 1 <= train_images <= images:
            raise InputError(
                f"train_images={train_images} is not allowed; {self.folder} has {images} training"
                " images."
            )
        shape = (3, image_size, image_size)
        super().__init__(classes, shape, train_images or images, **options)

    def prepare_data(self) -> None:
        """Download what is missing, if that was asked for."""
        if self.download:
            cifar_files.fetch(self.folder, self.num_classes)

    def load_train(self) -> MapStyle:
        """Read the training images into memory, once for the process."""
        size = self.image_shape[1]
        return cifar_files.read(self.folder, self.num_classes, "train", self.train_images, size)

    def load_test(self) -> MapStyle:
        """Read the test images into memory, once for the process."""
        return cifar_files.read(self.folder, self.num_classes, "test", None, self.image_shape[1])

    def random_view(self) -> View:
        """Crop from the image padded by an eighth of its side (4 pixels of 32), and flip."""
        return ShiftAndFlip(padding=self.image_shape[1] // 8)


class CIFAR10(Cifar):
    """CIFAR-10: 50,000 training and 10,000 test images of 32x32 pixels, 10 classes.

    Args:
        root: Folder with `cifar-10-batches-py` (torchvision) or with WebP mosaics, or with either
            in a folder `cifar10`; None takes the environment variable LNAS_DATA.
        download: Let torchvision download what is missing into `root`.
        image_size: Side of an image in pixels, 4 to 32; smaller than 32 for quick studies.
        train_images: Use only the first so many training images.
        batch_size: Images in a batch, over all ranks.
        options: Those of `StreamData`.

    Raises:
        InputError: The images are not there, or an argument is not allowed.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        download: bool = False,
        image_size: int = 32,
        train_images: int | None = None,
        batch_size: int = 64,
        **options: Any,
    ) -> None:
        super().__init__(
            10, root, download, image_size, train_images, batch_size=batch_size, **options
        )

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise with the mean and standard deviation of the training set (DARTS)."""
        mean = (0.49139968, 0.48215827, 0.44653124)
        return normalize(images, mean, (0.24703233, 0.24348505, 0.26158768))


class CIFAR100(Cifar):
    """CIFAR-100: 50,000 training and 10,000 test images of 32x32 pixels, 100 classes.

    Mosaics may hold fewer training images; they are dealt class by class, so that the first n
    images have all classes.

    Args:
        root: Folder with `cifar-100-python` (torchvision) or with WebP mosaics, or with either
            in a folder `cifar100`; None takes the environment variable LNAS_DATA.
        download: Let torchvision download what is missing into `root`.
        image_size: Side of an image in pixels, 4 to 32; smaller than 32 for quick studies.
        train_images: Use only the first so many training images.
        batch_size: Images in a batch, over all ranks.
        options: Those of `StreamData`.

    Raises:
        InputError: The images are not there, or an argument is not allowed.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        download: bool = False,
        image_size: int = 32,
        train_images: int | None = None,
        batch_size: int = 64,
        **options: Any,
    ) -> None:
        super().__init__(
            100, root, download, image_size, train_images, batch_size=batch_size, **options
        )

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise with the mean and standard deviation of the training set."""
        return normalize(images, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
