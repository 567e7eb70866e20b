"""RandomSearch: the best of randomly drawn cells under the weights that they share.

Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019,
arXiv:1902.07638, section 3.2, with 100 cells as in the released search of NAS-Bench-201.
Deviations: the cells are ranked by their loss, which ties less often than their accuracy, and all
on the same held-out batches.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lnas.derivation.comparison import compare
from lnas.derivation.criteria import SelectionContext, SelectionCriterion
from lnas.errors import InputError
from lnas.relaxations import GateSample
from lnas.seeds import generator
from lnas.spaces.random_scores import random_scores


@final
class RandomSearch(SelectionCriterion):
    """Scores 1 on the operations of the best of many random cells, and 0 elsewhere.

    Args:
        architectures: Number of cells drawn; those of all cell types are drawn together.
        batches: Held-out batches that each is measured on; None: all.
        seed: Seed of the draws; the seed of the run counts too.

    Raises:
        InputError: A number is below 1.
    """

    reads_batches = True

    def __init__(self, architectures: int = 100, batches: int | None = None, seed: int = 0) -> None:
        if architectures < 1 or (batches is not None and batches < 1):
            raise InputError(
                f"RandomSearch(architectures={architectures}, batches={batches}) compares nothing; "
                "give 1 or more of both, or null for all batches."
            )
        self.architectures, self.batches, self.seed = architectures, batches, seed

    def scores(self, context: SelectionContext) -> dict[str, Tensor]:
        """Return the scores of the cell with the least mean loss; the first drawn wins a tie."""
        drawn = [self.draw(context, index) for index in range(self.architectures)]
        best = drawn[int(self.losses(context, drawn).argmin())]
        mask = context.architecture.mask()
        return {
            name: cell.masked_fill(~mask[name].cpu(), -torch.inf) for name, cell in best.items()
        }

    def draw(self, context: SelectionContext, index: int) -> dict[str, Tensor]:
        """Return a random cell of each type, (edges, ops) of 0 and 1; fixed edges are kept."""
        architecture = context.architecture
        return architecture.space.project(
            {
                name: random_scores(
                    mask,
                    generator(self.seed, context.seed, "random search", index, name),
                    certain=architecture.fixed.get_buffer(name) >= 0,
                )
                for name, mask in architecture.mask().items()
            }
        )

    @torch.no_grad()
    def losses(self, context: SelectionContext, cells: list[dict[str, Tensor]]) -> Tensor:
        """Return the mean loss of each cell over the examples of all ranks, (cells,)."""
        samples = [self._sample(context, cell) for cell in cells]
        return compare(context, samples, "loss", self.batches).values

    def _sample(self, context: SelectionContext, cell: Mapping[str, Tensor]) -> GateSample:
        logits = context.architecture.logits
        return GateSample.child({name: table.to(logits[name]) for name, table in cell.items()})
