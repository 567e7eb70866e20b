"""Finiteness: a search stops at a loss or a gradient that is infinite or not a number.

On a CPU before any step. Elsewhere one pass later, so that the host need not wait: then the pass
has moved the weights, but no checkpoint holds them, for the watch settles before each one.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from lnas.errors import NonFiniteError
from lnas.search.step import SearchStep
from lnas.waiting import Verdict


@final
class FiniteWatch:
    """Looks at the values of each pass; all ranks must look at the same."""

    def __init__(self) -> None:
        self._open: list[tuple[str, Verdict]] = []

    def look(self, step: SearchStep, values: Sequence[Tensor]) -> None:
        """Go on only if all values are finite; elsewhere than on a CPU, those of the pass before.

        Raises:
            NonFiniteError: One is infinite or not a number.
        """
        finite = torch.isfinite(nn.utils.get_total_norm(values))
        before, self._open = self._open, [(_message(step), Verdict(finite))]
        if finite.device.type == "cpu":
            self.settle()
        _judge(before)

    def settle(self) -> None:
        """Look at what has not been looked at yet.

        Raises:
            NonFiniteError: A value is infinite or not a number.
        """
        found, self._open = self._open, []
        _judge(found)


def _judge(found: list[tuple[str, Verdict]]) -> None:
    for message, verdict in found:
        if not verdict.read():
            raise NonFiniteError(message)


def _message(step: SearchStep) -> str:
    added = " and ".join(step.terms) if step.role != "weights" else ""
    more = f", and what {added} adds" if added else ""
    return (
        f"The loss of the {step.role} pass, or its gradient, is not finite in epoch {step.epoch}, "
        f"batch {step.batch_index}; lower the learning rate or check the data{more}."
    )
