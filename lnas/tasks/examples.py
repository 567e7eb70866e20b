"""Examples: what the data of a task looks like, which is all that a network has to know of it.

A data module describes its data once. Networks and supernets are built to the description, and what
must be known of them before training (that they run, what they cost, which parameters they use) is
found out on made-up examples.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, final

import torch
from torch import Tensor

from lnas.errors import InputError
from lnas.tasks.base import Batch
from lnas.tasks.language_modeling import TextBatch

Net = TypeVar("Net")

NOWHERE = torch.empty(0, device="meta")
"""Examples like this one have a shape and no content; nothing is computed with them."""


class Examples(ABC):
    """The kind and the sizes of the data, and made-up data of this kind."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of things that a network has to tell apart."""

    @abstractmethod
    def network_options(self) -> dict[str, Any]:
        """Return the arguments by which networks and supernets are built to fit."""

    def build(self, network: Callable[..., Net], *arguments: Any) -> Net:
        """Return `network(*arguments, **network_options())`.

        Raises:
            InputError: The network is one for data of another kind.
        """
        options = self.network_options()
        try:
            return network(*arguments, **options)
        except TypeError as error:
            for name in options:
                if f"unexpected keyword argument {name!r}" in str(error):
                    raise InputError(
                        f"{self} are not what the network is for, which takes no {name!r}; choose "
                        "data and network of one kind."
                    ) from error
            raise

    @abstractmethod
    def inputs(self, count: int = 1, like: Tensor = NOWHERE) -> Tensor:
        """Return the input of a network for `count` examples.

        Args:
            count: Number of examples.
            like: The device, and the kind of whatever is not a whole number.
        """

    @abstractmethod
    def batch(self, count: int, like: Tensor) -> Batch:
        """Return a batch, as the loaders of the data module would; see `inputs`."""


@final
@dataclass(frozen=True)
class ImageExamples(Examples):
    """Images with a class each.

    Args:
        num_classes: Number of classes.
        shape: (channels, height, width) of an image as the network sees it.
    """

    num_classes: int = 10
    shape: tuple[int, int, int] = (3, 32, 32)

    def __str__(self) -> str:
        return f"Images of shape {tuple(self.shape)}"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.num_classes

    def network_options(self) -> dict[str, Any]:
        """Return the number of classes, and that of channels unless the images are RGB."""
        options = {"num_classes": self.num_classes}
        return options if self.shape[0] == 3 else options | {"image_channels": self.shape[0]}

    def inputs(self, count: int = 1, like: Tensor = NOWHERE) -> Tensor:
        """Return black images, (count, channels, height, width)."""
        return like.new_zeros(count, *self.shape)

    def batch(self, count: int, like: Tensor) -> Batch:
        """Return black images of the first class."""
        images = self.inputs(count, like)
        return images, torch.zeros(count, dtype=torch.long, device=images.device)


@final
@dataclass(frozen=True)
class TextExamples(Examples):
    """Texts side by side, each word the target of those before it.

    Args:
        vocabulary_size: Number of words.
    """

    vocabulary_size: int = 10_000

    def __str__(self) -> str:
        return "Words"

    @property
    def classes(self) -> int:
        """Number of words."""
        return self.vocabulary_size

    def network_options(self) -> dict[str, Any]:
        """Return the number of words."""
        return {"vocabulary_size": self.vocabulary_size}

    def inputs(self, count: int = 1, like: Tensor = NOWHERE) -> Tensor:
        """Return one step of `count` texts, all of the first word: (1, count)."""
        return torch.zeros(1, count, dtype=torch.long, device=like.device)

    def batch(self, count: int, like: Tensor) -> Batch:
        """Return two steps of `count` texts, all of the first word."""
        words = torch.zeros(2, count, dtype=torch.long, device=like.device)
        return TextBatch(words, words, starts=True)
