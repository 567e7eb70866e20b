"""SkipCountStop: stop before skip connections take over (DARTS+, its first criterion).

Liang et al., "DARTS+: Improved Differentiable Architecture Search with Early Stopping", 2019,
arXiv:1909.06035: stop when the normal cell that would be derived has two or more of them.
"""

from typing import final

from lnas.callbacks.collapse_warning import skips
from lnas.callbacks.early_stop import EarlyStop
from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.search import SearchModule


@final
class SkipCountStop(EarlyStop):
    """Stops when the derived cell holds too many skip connections.

    Args:
        limit: Number of skip connections that ends the search.
        cell_type: Where they are counted; None is the space's first cell type, the normal cell.

    Raises:
        InputError: The limit is below 1.
    """

    def __init__(self, limit: int = 2, cell_type: str | None = None) -> None:
        super().__init__()
        if limit < 1:
            raise InputError(f"limit={limit} would stop every search; give 1 or more.")
        self.limit, self.cell_type = limit, cell_type

    def reason_to_stop(self, module: SearchModule, epoch: int) -> str | None:
        """Count in the genotype that this epoch would give."""
        kind = self.cell_type or module.space.cell_types[0]
        found = skips(module.space.derive(magnitudes(module.architecture)))
        if found[kind] < self.limit:
            return None
        return f"{found[kind]} skip connections in the {kind} cell, of {self.limit} that end it"
