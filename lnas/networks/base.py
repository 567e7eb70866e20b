"""Networks built from a genotype, to be trained from scratch.

They are plain modules: what is random in them (dropped paths, the noise operation) is a pure
function of what `set_draw` was given, so that a resumed training repeats it.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.operations import check_halvings
from lnas.operations.convolutional import Noise
from lnas.seeds import generator
from lnas.tasks import Output, State


class Network(nn.Module, ABC):
    """A network for images, built from the cells of a genotype.

    Args:
        genotype: The cells.
        space: Name of the space whose genotypes it takes.
        sizes: Numbers that must be positive, by name.

    Attributes:
        halvings: How often the image is halved; see `operations.check_halvings`.

    Raises:
        InputError: The genotype is of another space, or a size is not positive.
    """

    halvings: int

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
        self._drop_path = 0.0
        self._draw: tuple[int | str, ...] | None = None

    @abstractmethod
    def forward(self, inputs: Tensor, state: State = None) -> Output:
        """Return the class scores of images (N, channels, H, W); `state` is not used."""

    @property
    def drop_path(self) -> float:
        """Probability to drop the output of an operation for an image, in training only."""
        return self._drop_path

    @drop_path.setter
    def drop_path(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise InputError(f"drop_path is {rate}; choose a probability in [0, 1).")
        self._drop_path = float(rate)

    def set_draw(self, *parts: int | str) -> None:
        """Make what is random in the next forwards a pure function of `parts`.

        Args:
            parts: E.g. seed, purpose, rank, epoch, batch.
        """
        self._draw = parts

    def _prepare(self, inputs: Tensor, paths: int) -> Tensor | None:
        """Check the image size, start noise operations, draw the factors of the paths.

        Returns:
            (paths, N): 0 for a dropped path, else 1 / (1 - drop_path); None when none is dropped.
        """
        check_halvings(inputs.shape[-2], inputs.shape[-1], self.halvings)
        # Nothing random is left to chance outside training either.
        draw = self._draw if self.training and self._draw is not None else ("evaluation",)
        for name, module in self.named_modules():
            if isinstance(module, Noise):
                module.generator = generator(*draw, "noise", name)
        if not self.training or not self.drop_path:
            return None
        if self._draw is None:
            raise InputError(
                f"drop_path is {self.drop_path} but nothing says which paths to drop; call "
                "set_draw(seed, step, rank) before each training batch, or set drop_path to 0."
            )
        keep = 1 - self.drop_path
        numbers = torch.rand(paths, len(inputs), generator=generator(*self._draw, "drop path"))
        return (numbers.to(inputs.device) < keep).to(inputs.dtype) / keep
