"""Loaders that start at any batch of any epoch: their order is a function of (seed, epoch).

There is no state to lose, and each of several ranks takes its share of the very batches that one
process would see.
"""

import atexit
import os
import signal
import warnings
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, Generic, TypeVar

import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from lnas.errors import InputError

IGNORED = (signal.SIGINT, signal.SIGTERM)
Key = TypeVar("Key")


class Order(DistributedSampler[Key], ABC, Generic[Key]):
    """The batches of one epoch, as keys of this rank.

    It calls itself a DistributedSampler so that Lightning knows that ranks are taken care of and
    leaves the loader as it is, and because Lightning then tells it the epoch.

    Args:
        seed: Seed of the run.
        purpose: Name of the stream.
        rank: This process, from 0; None asks torch.distributed at each pass.
        world_size: Number of processes; None asks torch.distributed at each pass.
    """

    def __init__(
        self, seed: int, purpose: str, rank: int | None = None, world_size: int | None = None
    ) -> None:
        self.seed, self.purpose = seed, purpose
        self._placement = (rank, world_size)
        self.epoch, self.start = 0, 0

    def placement(self) -> tuple[int, int]:
        """Return (rank, number of ranks).

        Raises:
            InputError: The batches cannot be shared.
        """
        rank, world = self._placement
        ready = distributed.is_available() and distributed.is_initialized()
        if rank is None:
            rank = distributed.get_rank() if ready else 0
        if world is None:
            world = distributed.get_world_size() if ready else 1
        self.check_shares(world)
        return rank, world

    @abstractmethod
    def check_shares(self, world: int) -> None:
        """Refuse batches that so many ranks cannot share.

        Raises:
            InputError: They cannot.
        """

    @abstractmethod
    def keys(self, epoch: int, start: int, batches: int, rank: int, world: int) -> Iterator[Key]:
        """Yield the keys of an epoch's batches from `start` on."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same for all epochs."""

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of `epoch`; the position stays when it is under way already."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __iter__(self) -> Iterator[Key]:
        # Read now and not at the first batch: the loader's position moves on while this one runs.
        return self.keys(self.epoch, self.start, len(self), *self.placement())


class ResumableLoader(DataLoader[Any]):
    """Batches of one stream.

    An iterator reads the loader's position when its first batch is asked for. A complete pass moves
    the loader to the next epoch; an abandoned one starts again.

    Args:
        batches: Turns a key into a batch, or into an `InputError`, which is raised here.
        order: The keys.
        workers: Processes that make batches; the batches do not depend on it.

    Raises:
        InputError: The batches cannot be shared by the ranks.
    """

    sampler: Order[Any]

    def __init__(self, batches: Dataset[Any], order: Order[Any], workers: int = 0) -> None:
        order.placement()
        # Lightning's advice to use many workers: what is in memory needs none.
        warnings.filterwarnings("ignore", r".*does not have many workers", UserWarning)
        self._position = (0, 0)
        super().__init__(
            batches,
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

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator
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
