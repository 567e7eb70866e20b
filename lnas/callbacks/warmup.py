"""Warmup: the weights train alone before the architecture moves.

An old remedy against the head start of operations without weights, e.g. the first 15 of 50 epochs
in PC-DARTS (Xu et al., arXiv:1907.05737) and 10 of 25 in P-DARTS (Chen et al., arXiv:1904.12760).
"""

from typing import final

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule, SearchStep


@final
class Warmup(SearchCallback):
    """Withholds architecture steps in the first epochs.

    Args:
        epochs: Epochs without an architecture step, 0 or more.

    Raises:
        InputError: `epochs` is not a whole number from 0 on.
    """

    def __init__(self, epochs: int) -> None:
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0:
            raise InputError(f"epochs={epochs} is no number of epochs; give 0 or more.")
        self.epochs = epochs

    def should_step_architecture(self, module: SearchModule, step: SearchStep) -> bool:
        """Whether the warm-up is over."""
        return step.epoch >= self.epochs
