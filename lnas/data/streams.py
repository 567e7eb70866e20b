"""The loader of one stream of images: its order is a pure function of (seed, purpose, epoch).

It gives the same images for any number of workers; see `lnas.data.resumable`.
"""

import math
from collections.abc import Iterator, Sequence

import torch

from lnas.data.augmentation import Augmentation, Batches, Key, MapStyle
from lnas.data.resumable import Order, ResumableLoader
from lnas.errors import InputError
from lnas.seeds import generator


class StreamOrder(Order[Key]):
    """The batches of one epoch as keys (epoch, indices of this rank).

    Args:
        indices: The images of the stream.
        batch_size: Images in a batch, over all ranks.
        seed: Seed of the run.
        purpose: Name of the stream.
        training: Shuffle, and drop an incomplete last batch. Otherwise every image comes once, in
            order.
        rank: This process, from 0; None asks torch.distributed at each pass.
        world_size: Number of processes; None asks torch.distributed at each pass.
    """

    def __init__(
        self,
        indices: Sequence[int],
        batch_size: int,
        seed: int,
        purpose: str,
        training: bool,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(seed, purpose, rank, world_size)
        self.indices, self.batch_size, self.training = indices, batch_size, training

    def check_shares(self, world: int) -> None:
        """Refuse a batch that cannot be shared equally, and too few images."""
        if self.training and self.batch_size % world:
            raise InputError(
                f"batch_size={self.batch_size} cannot be shared equally by {world} processes;"
                f" it counts the images over all of them: choose a multiple of {world}."
            )
        if len(self.indices) < world:
            raise InputError(
                f"The {len(self.indices)} images of the {self.purpose} stream are too few for"
                f" {world} processes; use fewer devices or more images."
            )

    def __len__(self) -> int:
        if self.training:
            return len(self.indices) // self.batch_size
        rest = len(self.indices) % self.batch_size
        # A rest that does not give every rank an image is joined to the batch before it.
        joined = 0 < rest < self.placement()[1] and len(self.indices) > self.batch_size
        return math.ceil(len(self.indices) / self.batch_size) - joined

    def keys(self, epoch: int, start: int, batches: int, rank: int, world: int) -> Iterator[Key]:
        """Yield (epoch, indices); see the base class."""
        order = torch.as_tensor(self.indices)
        if self.training:
            draw = generator(self.seed, "order", self.purpose, epoch)
            order = order[torch.randperm(len(order), generator=draw)]
        for batch in range(start, batches):
            begin, end = batch * self.batch_size, (batch + 1) * self.batch_size
            if batch == batches - 1 and not self.training:
                end = len(order)
            yield epoch, order[begin:end][rank::world].tolist()


class StreamLoader(ResumableLoader):
    """Batches (images (B, C, H, W), labels (B,)) of one stream, resumable at any batch.

    Args:
        dataset: Any map-style data set of (image, label).
        indices: The images of the stream.
        batch_size: Images in a batch over all ranks; each rank takes its share of every batch.
        seed: Seed of the run.
        purpose: Name of the stream; streams of different names share no random numbers.
        training: Shuffle each epoch and drop an incomplete last batch.
        augmentation: What is done to the images.
        workers: Processes that load images; the images do not depend on it.
        rank: This process; None asks torch.distributed.
        world_size: Number of processes; None asks torch.distributed.

    Raises:
        InputError: The batch exceeds the stream or cannot be shared by the ranks.
    """

    def __init__(
        self,
        dataset: MapStyle,
        indices: Sequence[int],
        *,
        batch_size: int,
        seed: int = 0,
        purpose: str = "weights",
        training: bool = True,
        augmentation: Augmentation | None = None,
        workers: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        order = StreamOrder(indices, batch_size, seed, purpose, training, rank, world_size)
        if training:
            check_batch(batch_size, {purpose: len(indices)})
        batches = Batches(dataset, augmentation or Augmentation(), seed, purpose)
        super().__init__(batches, order, workers)


def check_batch(batch_size: int, sizes: dict[str, int]) -> None:
    """Refuse a batch that is larger than a training stream.

    Raises:
        InputError: The batch size is not positive or exceeds one of `sizes` (images by stream).
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size} is no number of images; give 1 or more.")
    if sizes and batch_size > min(sizes.values()):
        have = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise InputError(
            f"batch_size={batch_size} exceeds the split (images in {have}); choose at most"
            f" {min(sizes.values())}, or give the stream more images."
        )
