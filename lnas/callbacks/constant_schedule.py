"""ConstantSchedule: an architecture step in one batch of every k (CS10 in DARTS-PRIME).

The constant comparison of Maile et al., "DARTS-PRIME", arXiv:2106.11655, section 4: ten weight
steps for each architecture step.
"""

from typing import final

from lnas.errors import InputError
from lnas.search import SearchCallback, SearchModule, SearchStep


@final
class ConstantSchedule(SearchCallback):
    """Allows the architecture step in the batch of every `every`-th weight step.

    After n weight steps exactly n // every architecture steps were taken.

    Args:
        every: Weight steps for each architecture step, at least 1.

    Raises:
        InputError: `every` is not a positive whole number.
    """

    def __init__(self, every: int = 10) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"every={every} is no number of weight steps; give 1 or more.")
        self.every = every

    def should_step_architecture(self, module: SearchModule, step: SearchStep) -> bool:
        """Whether this batch completes a group of `every`."""
        return (module.steps + 1) % self.every == 0
