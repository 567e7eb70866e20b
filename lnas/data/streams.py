"""The loader of one stream: its order is a pure function of (seed, purpose, epoch).

There is no state to lose. A loader can start at any batch of any epoch, gives the same images for
any number of workers, and each of several ranks takes its share of the very batches that one
process would see.
"""

import atexit
import math
import os
import signal
import warnings
import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, DistributedSampler

from lnas.data.augmentation import Augmentation, Batches, Key, MapStyle
from lnas.errors import InputError
from lnas.seeds import generator

IGNORED = (signal.SIGINT, signal.SIGTERM)


class StreamOrder(DistributedSampler[Key]):
    """The batches of one epoch as keys (epoch, indices of this rank).

    It calls itself a DistributedSampler so that Lightning knows that ranks are taken care of and
    leaves the loader as it is, and because Lightning then tells it the epoch.

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
        self.indices, self.batch_size = indices, batch_size
        self.seed, self.purpose, self.training = seed, purpose, training
        self._placement = (rank, world_size)
        self.epoch, self.start = 0, 0

    def placement(self) -> tuple[int, int]:
        """Return (rank, number of ranks).

        Raises:
            InputError: The batch cannot be shared equally, or there are too few images.
        """
        rank, world = self._placement
        ready = distributed.is_available() and distributed.is_initialized()
        if rank is None:
            rank = distributed.get_rank() if ready else 0
        if world is None:
            world = distributed.get_world_size() if ready else 1
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
        return rank, world

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of `epoch`; the position stays when it is under way already."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        if self.training:
            return len(self.indices) // self.batch_size
        rest = len(self.indices) % self.batch_size
        # A rest that does not give every rank an image is joined to the batch before it.
        joined = 0 < rest < self.placement()[1] and len(self.indices) > self.batch_size
        return math.ceil(len(self.indices) / self.batch_size) - joined

    def __iter__(self) -> Iterator[Key]:
        # Read now and not at the first batch: the loader's position moves on while this one runs.
        return self._keys(self.epoch, self.start, len(self), *self.placement())

    def _keys(self, epoch: int, start: int, batches: int, rank: int, world: int) -> Iterator[Key]:
        order = torch.as_tensor(self.indices)
        if self.training:
            draw = generator(self.seed, "order", self.purpose, epoch)
            order = order[torch.randperm(len(order), generator=draw)]
        for batch in range(start, batches):
            begin, end = batch * self.batch_size, (batch + 1) * self.batch_size
            if batch == batches - 1 and not self.training:
                end = len(order)
            yield epoch, order[begin:end][rank::world].tolist()


class StreamLoader(DataLoader[Any]):
    """Batches (images (B, C, H, W), labels (B,)) of one stream, resumable at any batch.

    An iterator reads the loader's position when its first batch is asked for. A complete pass moves
    the loader to the next epoch; an abandoned one starts again.

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

    sampler: StreamOrder

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
        order.placement()
        # Lightning's advice to use many workers: small images in memory need none.
        warnings.filterwarnings("ignore", r".*does not have many workers", UserWarning)
        self._position = (0, 0)
        super().__init__(
            Batches(dataset, augmentation or Augmentation(), seed, purpose),
            sampler=order,
            batch_size=None,  # a key is a whole batch
            num_workers=workers,
            collate_fn=_unchanged,
            worker_init_fn=_ignore_signals,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # or each pass would draw from the global generator
        )

    def set_position(self, epoch: int, batch: int) -> None:
        """Start the next pass at `batch` of `epoch`; one past the last is the next epoch's first.

        Raises:
            InputError: There is no such batch.
        """
        if epoch < 0 or not 0 <= batch <= len(self):
            raise InputError(
                f"There is no batch {batch} of epoch {epoch} in the {self.sampler.purpose} stream"
                f" of {len(self)} batches; was the checkpoint written with other data?"
            )
        if batch == len(self):
            epoch, batch = epoch + 1, 0
        self.sampler.epoch, self.sampler.start = epoch, batch
        self._position = (epoch, batch)

    def state_dict(self) -> dict[str, int]:
        """Return the position behind the last batch handed out; Lightning keeps it."""
        epoch, batch = self._position
        return {"epoch": epoch, "batch": batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next pass where `state_dict` was taken."""
        self.set_position(state["epoch"], state["batch"])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:  # type: ignore[override]  # a generator
        order = self.sampler
        epoch, start = order.epoch, order.start
        # Workers start deaf: a signal may come before they have learnt to ignore it.
        starting = self.num_workers > 0 and self._iterator is None
        before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED if starting else ())
        try:
            batches = super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if starting:
            _stop_at_exit(batches)
        order.start = 0  # a position is used once
        for batch, content in enumerate(batches, start):
            if isinstance(content, InputError):
                raise content
            self._position = (epoch, batch + 1)
            if batch + 1 == len(self):
                self._position = (epoch + 1, 0)
                order.epoch = epoch + 1
            yield content


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


def _unchanged(batch: Any) -> Any:
    return batch


def _ignore_signals(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the parent; a worker ends when it is told to or left alone."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


def _stop_at_exit(iterator: Any) -> None:
    """End the iterator's workers when the process ends; they ignore the SIGTERM meant to do it."""
    stop = partial(_stop, os.getpid(), weakref.ref(iterator), list(iterator._workers))
    # Runs before torch's own exit functions, which are older and wait for the workers.
    atexit.register(stop)
    # Where the process is itself one of multiprocessing's, atexit is not called.
    Finalize(None, stop, exitpriority=10)


def _stop(parent: int, reference: "weakref.ref[Any]", workers: list[BaseProcess]) -> None:
    if os.getpid() != parent:
        return
    iterator = reference()
    if iterator is not None:
        iterator._shutdown_workers()
    for worker in workers:
        if worker.is_alive():
            worker.kill()
