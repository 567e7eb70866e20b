"""RestrictedSkips: at most so many skip connections in a derived cell.

The last step of P-DARTS (Chen et al., ICCV 2019, arXiv:1904.12760, section 3.2) as released: while
the cell that the scores derive to has more skip connections than allowed, the one with the smallest
score is taken out and the cell is derived anew. The authors use two, in the normal cell. Deviation:
what is taken out scores -inf instead of 0, so that an edge with nothing else to offer is left out.
"""

from typing import final

import torch
from torch import Tensor

from lnas.derivation.criteria import Magnitude, SelectionContext, SelectionCriterion
from lnas.errors import InputError

SKIP = "skip_connect"


@final
class RestrictedSkips(SelectionCriterion):
    """Takes the weakest skip connections out of another criterion's scores.

    Args:
        limit: Largest number of skip connections of the derived cell.
        cell_type: The cell it holds for.
        criterion: Where the scores come from; None is the magnitude of the gates.

    Raises:
        InputError: `limit` is negative; when scoring: there is no such cell.
    """

    def __init__(
        self,
        limit: int = 2,
        cell_type: str = "normal",
        criterion: SelectionCriterion | None = None,
    ) -> None:
        if limit < 0:
            raise InputError(f"limit={limit} is no number of skip connections; give 0 or more.")
        self.limit, self.cell_type = limit, cell_type
        self.criterion = criterion or Magnitude()
        self.reads_batches = self.criterion.reads_batches
        self.reads_accuracy = self.criterion.reads_accuracy

    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return scores, (edges, ops) per cell type, that derive to an allowed cell."""
        space = context.architecture.space
        if self.cell_type not in space.cell_types:
            raise InputError(
                f"RestrictedSkips(cell_type={self.cell_type!r}): the space {space.name} has "
                f"{', '.join(space.cell_types)}."
            )
        scores = {name: table.clone() for name, table in self.criterion.scores(context).items()}
        if SKIP not in space.operations:
            return scores
        column = space.operations.index(SKIP)
        table = scores[self.cell_type]
        while True:
            chosen = space.project(scores)[self.cell_type][:, column] > 0
            if int(chosen.sum()) <= self.limit:
                return scores
            weakest = table[:, column].masked_fill(~chosen, torch.inf).argmin()
            table[weakest, column] = -torch.inf
