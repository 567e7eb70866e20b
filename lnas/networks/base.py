"""Networks built from a genotype, to be trained from scratch.

They are plain modules: what is random in them (dropped paths and units, the noise operation) is a
pure function of what `set_draw` was given, so that a resumed training repeats it.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.operations import check_halvings
from lnas.operations.convolutional import Noise
from lnas.operations.layout import dense
from lnas.seeds import generator
from lnas.tasks import Examples, ImageExamples, Output, State


class Network(nn.Module, ABC):
    """A network built from the cells of a genotype.

    Args:
        genotype: The cells.
        space: Name of the space whose genotypes it takes.
        sizes: Numbers that must be positive, by name.

    Attributes:
        examples: The data that it is built for unless it is told otherwise.
        draw: What random numbers are a function of; see `set_draw`.

    Raises:
        InputError: The genotype is of another space, or a size is not positive.
    """

    examples: ClassVar[Examples]

    def __init__(self, genotype: Genotype, space: str, **sizes: int) -> None:
        super().__init__()
        if genotype.space != space:
            raise InputError(
                f"{type(self).__name__} takes genotypes of the space {space}, not of "
                f"{genotype.space}; choose the network of that space."
            )
        if min(sizes.values()) < 1:
            raise InputError(
                f"{', '.join(f'{name}={value}' for name, value in sizes.items())}; "
                "each must be at least 1."
            )
        self.genotype = genotype
        self.draw: tuple[int | str, ...] | None = None

    @abstractmethod
    def forward(self, inputs: Tensor, state: State = None) -> Output:
        """Return the class scores of a batch.

        Args:
            inputs: One batch; images are (N, channels, H, W), words (time, streams).
            state: What a recurrent network carries from batch to batch.
        """

    @property
    def drop_path(self) -> float:
        """Probability to drop the output of an operation for an example, in training only."""
        return 0.0

    @drop_path.setter
    def drop_path(self, rate: float) -> None:
        if rate:
            raise InputError(
                f"drop_path is {rate} and {type(self).__name__} has no paths to drop; set it to 0."
            )

    def set_draw(self, *parts: int | str) -> None:
        """Make what is random in the next forwards a pure function of `parts`.

        Args:
            parts: E.g. seed, purpose, rank, epoch, batch.
        """
        self.draw = parts

    def _generator(self, *what: int | str) -> torch.Generator:
        """Return a host generator for `what`.

        Raises:
            InputError: Nothing says what the random numbers are a function of.
        """
        if self.draw is None:
            raise InputError(
                f"{type(self).__name__} drops something in training and nothing says what; call "
                "set_draw(seed, step, rank) before each training batch, or drop nothing."
            )
        return generator(*self.draw, *what)


class ImageNetwork(Network):
    """A network for images.

    Args:
        genotype: The cells.
        space: Name of the space whose genotypes it takes.
        sizes: Numbers that must be positive, by name.

    Attributes:
        halvings: How often the image is halved; see `operations.check_halvings`.
    """

    examples = ImageExamples()
    halvings: int

    def __init__(self, genotype: Genotype, space: str, **sizes: int) -> None:
        super().__init__(genotype, space, **sizes)
        self._drop_path = 0.0

    @property
    def drop_path(self) -> float:
        """Probability to drop the output of an operation for an image, in training only."""
        return self._drop_path

    @drop_path.setter
    def drop_path(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise InputError(f"drop_path is {rate}; choose a probability in [0, 1).")
        self._drop_path = float(rate)

    def _prepare(self, inputs: Tensor, paths: int) -> tuple[Tensor, Tensor | None]:
        """Check the image size, start noise operations, draw the factors of the paths.

        Returns:
            The images as they should lie in memory; and (paths, N): 0 for a dropped path, else
            1 / (1 - drop_path); None when none is dropped.
        """
        check_halvings(inputs.shape[-2], inputs.shape[-1], self.halvings)
        # Nothing random is left to chance outside training either.
        draw = self.draw if self.training and self.draw is not None else ("evaluation",)
        for name, module in self.named_modules():
            if isinstance(module, Noise):
                module.generator = generator(*draw, "noise", name)
        images = dense(inputs) if inputs.device.type == "cpu" else inputs
        if not self.training or not self.drop_path:
            return images, None
        keep = 1 - self.drop_path
        numbers = torch.rand(paths, len(inputs), generator=self._generator("drop path"))
        return images, (numbers.to(inputs.device) < keep).to(inputs.dtype) / keep
