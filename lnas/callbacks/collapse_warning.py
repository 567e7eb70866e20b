"""CollapseWarning: says loudly when skip connections take over the cell.

Skip connections need no training and win the race for the weights of an edge (Zela et al.,
"Understanding and Robustifying DARTS", arXiv:1909.09656; Liang et al., "DARTS+",
arXiv:1909.06035, stops at more than two of them). A cell counts as collapsed with more than 2 of
them among the 8 inputs of a DARTS normal cell, or on more than half of a NAS-Bench-201 cell.
"""

from collections.abc import Sequence
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer
from rich import get_console
from rich.panel import Panel

from lnas.derivation import magnitudes
from lnas.genotype import Genotype
from lnas.loggers import log_row
from lnas.search import SearchModule

SKIP = "skip_connect"
# Largest number of skip connections of a healthy cell, by space.
ALLOWED = {"darts": ("normal", 2), "nasbench201": ("cell", 3)}


def skips(genotype: Genotype) -> dict[str, int]:
    """Return the number of skip connections per cell type."""
    return {
        kind: sum(operation == SKIP for _, _, operation in genotype.edges(kind))
        for kind in genotype.cells
    }


def is_collapsed(genotype: Genotype) -> bool:
    """Whether skip connections have taken over; spaces without a known limit never collapse."""
    kind, allowed = ALLOWED.get(genotype.space, (None, 0))
    return kind is not None and skips(genotype)[kind] > allowed


def collapsed_since(genotypes: Sequence[Genotype]) -> int | None:
    """Return the first epoch from which on every cell has collapsed; None if the last has not."""
    since = len(genotypes)
    while since and is_collapsed(genotypes[since - 1]):
        since -= 1
    return since if since < len(genotypes) else None


@final
class CollapseWarning(Callback):
    """Logs `arch/<type>/skips` and `arch/collapsed` (0 or 1) per epoch; warns once per change."""

    def __init__(self) -> None:
        self.collapsed = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count in the genotype that this epoch would give."""
        assert isinstance(pl_module, SearchModule)
        genotype = pl_module.space.derive(magnitudes(pl_module.architecture))
        collapsed = is_collapsed(genotype)
        row = {"search/step": pl_module.steps, "search/epoch": trainer.current_epoch}
        row |= {f"arch/{kind}/skips": count for kind, count in skips(genotype).items()}
        log_row(trainer, row | {"arch/collapsed": int(collapsed)})
        if collapsed and not self.collapsed and trainer.is_global_zero:
            self._warn(trainer.current_epoch, genotype)
        self.collapsed = collapsed

    def state_dict(self) -> dict[str, Any]:
        """Return whether the last epoch's cell had collapsed."""
        return {"collapsed": self.collapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self.collapsed = bool(state_dict["collapsed"])

    def _warn(self, epoch: int, genotype: Genotype) -> None:
        kind, allowed = ALLOWED[genotype.space]
        text = (
            f"The {kind} cell has collapsed in epoch {epoch}: {skips(genotype)[kind]} skip "
            f"connections, at most {allowed} are healthy. The derived network will be weak: "
            "search for fewer epochs, or regularise the architecture."
        )
        # The shared console knows of a live display under way.
        get_console().print(Panel(text, title="COLLAPSE", style="bold red"))
