"""`StreamData`: a LightningDataModule with the three streams of an architecture search.

The trainer iterates the weights stream; the search module asks for `architecture_loader()` and
advances it only when it takes an architecture step; `held_out` is validation. With
`evaluation=True` everything outside `held_out` trains the weights of a derived network, and the
test set is for the final test.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from lnas.data.augmentation import Augmentation, Cutout, MapStyle, View
from lnas.data.splits import Streams, check_fractions, split
from lnas.data.streams import StreamLoader, check_batch
from lnas.errors import InputError
from lnas.tasks import ImageExamples


class StreamData(LightningDataModule, ABC):
    """Images and labels in three streams and a test set.

    Args:
        num_classes: Number of classes.
        image_shape: (channels, height, width) of an image as the network sees it.
        images: Number of training images, if known before they are loaded: wrong sizes are then
            refused at once.
        batch_size: Images in a batch, over all ranks: each takes its share of every batch.
        held_out: What no optimizer sees: a fraction in (0, 1), a number of images, or 0.
        architecture_fraction: Share of the rest for the architecture; 0 for a single-level search.
        split_seed: Seed of a shuffle before the split, which belongs to the data and not to the
            run; None keeps the order of the data set.
        seed: Seed of order and augmentation.
        workers: Processes that load images; 0 loads them in the training process.
        evaluation: Train on everything outside `held_out`.
        augment: Use random views of the training images.
        cutout: Side of the square cut out of training images, in pixels; 0 for none.

    Raises:
        InputError: A fraction, size or count is not allowed.
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        images: int | None = None,
        batch_size: int = 64,
        held_out: int | float = 0.1,
        architecture_fraction: float = 0.5,
        split_seed: int | None = None,
        seed: int = 0,
        workers: int = 0,
        evaluation: bool = False,
        augment: bool = True,
        cutout: int = 0,
    ) -> None:
        super().__init__()
        check_fractions(held_out, architecture_fraction)
        check_batch(batch_size, {})
        if workers < 0:
            raise InputError(f"workers={workers} is no number of processes; give 0 or more.")
        if num_classes < 2:
            raise InputError(f"{num_classes} class(es) cannot be told apart; give 2 or more.")
        if cutout < 0:
            raise InputError(f"cutout={cutout} is no side of a square; give 0 (none) or more.")
        if cutout >= 2 * (side := max(image_shape[1:])):
            raise InputError(
                f"cutout={cutout} leaves nothing of images of {side} pixels, wherever its centre "
                f"is; give less than {2 * side}, or 0."
            )
        self.num_classes, self.image_shape = num_classes, image_shape
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self.held_out, self.architecture_fraction = held_out, architecture_fraction
        self.split_seed, self.evaluation = split_seed, evaluation
        self.augment, self.cutout = augment, cutout
        if images is not None:
            self._split(images)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the trainer: workers that are not forked get a copy, for `prepare`."""
        return self.__dict__ | {"trainer": None}

    @abstractmethod
    def load_train(self) -> MapStyle:
        """Return the training set; called once."""

    def load_test(self) -> MapStyle | None:
        """Return the test set, if there is one; called once, when it is asked for."""
        return None

    def random_view(self) -> View | None:
        """Return what makes a random training view of one image."""
        return None

    def plain_view(self) -> View | None:
        """Return what makes the one view of a held-out or test image."""
        return None

    def prepare(self, images: Tensor) -> Tensor:
        """Return a batch (B, C, H, W) as the network wants it (normalised); float32 as it is."""
        return images.float()

    @cached_property
    def train_set(self) -> MapStyle:
        """The training set, of which the streams are parts."""
        return self.load_train()

    @cached_property
    def test_set(self) -> MapStyle | None:
        """The test set, loaded by the first who asks."""
        return self.load_test()

    @property
    def test_remedy(self) -> str:
        """What to do where there are no test images."""
        return "give it test images"

    @cached_property
    def _streams(self) -> Streams:
        return self._split(len(self.train_set))

    def _split(self, images: int) -> Streams:
        share = 0.0 if self.evaluation else self.architecture_fraction
        streams = split(images, self.held_out, share, self.split_seed)
        sizes = {"weights": len(streams.weights)}
        if streams.architecture:
            sizes["architecture"] = len(streams.architecture)
        check_batch(self.batch_size, sizes)
        return streams

    def streams(self) -> Streams:
        """Return the three index lists into the training set.

        Raises:
            InputError: The batch exceeds a stream, or a stream is empty.
        """
        return self._streams

    @property
    def examples(self) -> ImageExamples:
        """What a network has to know of the data."""
        return ImageExamples(self.num_classes, self.image_shape)

    @property
    def split_hash(self) -> str:
        """The sha256 of the index lists."""
        return self.streams().hash

    def setup(self, stage: str | None = None) -> None:
        """Load the data and refuse sizes that do not fit."""
        self.streams()

    def train_dataloader(self) -> StreamLoader:
        """Return the weights stream."""
        return self._training_loader("weights", self.streams().weights)

    def architecture_loader(self) -> StreamLoader:
        """Return the architecture stream, augmented like the weights stream (DARTS).

        Raises:
            InputError: There is none.
        """
        if not self.streams().architecture:
            raise InputError(
                "There is no architecture stream: architecture_fraction is 0 or evaluation is on;"
                " choose a fraction in (0, 1), or a single-level search (Joint)."
            )
        return self._training_loader("architecture", self.streams().architecture)

    def calibration_loader(self) -> StreamLoader:
        """Return the images of the weights stream, not augmented, in a shuffled order of their own.

        What is estimated over them, as running averages, does not hang on the noise of views.
        """
        return StreamLoader(
            self.train_set,
            self.streams().weights,
            batch_size=self.batch_size,
            seed=self.seed,
            purpose="calibration",
            augmentation=Augmentation(self.plain_view(), self.prepare),
            workers=self.workers,
        )

    def held_out_loader(self) -> StreamLoader:
        """Return the held-out stream: every image once, not augmented.

        Raises:
            InputError: Nothing is held out.
        """
        if not self.streams().held_out:
            raise InputError("Nothing is held out: held_out is 0; choose a fraction in (0, 1).")
        return self._plain_loader("held_out", self.train_set, self.streams().held_out)

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Return the held-out stream, or an empty list when nothing is held out."""
        return self.held_out_loader() if self.streams().held_out else []

    def test_dataloader(self) -> StreamLoader:
        """Return the test set: every image once, not augmented.

        Raises:
            InputError: There is none.
        """
        test = self.test_set
        if test is None or not len(test):
            raise InputError(f"{type(self).__name__} has no test set; {self.test_remedy}.")
        return self._plain_loader("test", test, range(len(test)))

    def _training_loader(self, purpose: str, indices: list[int]) -> StreamLoader:
        return StreamLoader(
            self.train_set,
            indices,
            batch_size=self.batch_size,
            seed=self.seed,
            purpose=purpose,
            augmentation=Augmentation(
                (self.random_view() if self.augment else None) or self.plain_view(),
                self.prepare,
                Cutout(self.cutout) if self.cutout else None,
            ),
            workers=self.workers,
        )

    def _plain_loader(
        self, purpose: str, dataset: MapStyle, indices: list[int] | range
    ) -> StreamLoader:
        return StreamLoader(
            dataset,
            indices,
            batch_size=self.batch_size,
            seed=self.seed,
            purpose=purpose,
            training=False,
            augmentation=Augmentation(self.plain_view(), self.prepare),
            workers=self.workers,
        )


def normalize(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return images (..., C, H, W) as float32 with `mean` and `std` of [0, 1] values taken out."""
    scaled = v2.functional.to_dtype(images, torch.float32, scale=True)
    result: Tensor = v2.functional.normalize(scaled, list(mean), list(std))
    return result
