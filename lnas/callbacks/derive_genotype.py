"""DeriveGenotype: at the end of a search, from scores to the genotype, its file and its picture.

It runs at the end of the fit, behind the last checkpoint: a run that is killed while it derives is
resumed from that checkpoint, has nothing left to train, and derives again.
"""

from pathlib import Path
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor

from lnas.derivation import Magnitude, SelectionContext, SelectionCriterion
from lnas.genotype import Genotype
from lnas.loggers import log_file, log_picture
from lnas.relaxations import GateSample
from lnas.search import SearchModule
from lnas.visualize import draw_genotype


@final
class DeriveGenotype(Callback):
    """Writes `genotype.json`, `genotype.png` and `genotype.svg` into the run folder.

    Args:
        criterion: What scores (edge, operation); None is the magnitude of the gates. The rule that
            makes a genotype of the scores is the space's.

    Attributes:
        genotype: What was derived, on every rank; None before.
    """

    def __init__(self, criterion: SelectionCriterion | None = None) -> None:
        self.criterion = criterion or Magnitude()
        self.genotype: Genotype | None = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Derive on rank 0 from scores averaged over the ranks, and tell the others."""
        assert isinstance(pl_module, SearchModule)
        scores = average_scores(trainer, self.criterion.scores(selection_context(pl_module)))
        text = pl_module.space.derive(scores).to_json() if trainer.is_global_zero else ""
        self.genotype = Genotype.from_json(trainer.strategy.broadcast(text))
        if trainer.is_global_zero:
            self._write(trainer, self.genotype, pl_module.steps)
        trainer.strategy.barrier("genotype")

    def _write(self, trainer: Trainer, genotype: Genotype, step: int) -> None:
        folder = Path(trainer.default_root_dir)
        # The pictures first: who finds genotype.json finds everything.
        for suffix in (".png", ".svg"):
            draw_genotype(genotype, folder / f"genotype{suffix}")
        path = folder / "genotype.json"
        genotype.save(path)
        log_picture(trainer, "genotype", folder / "genotype.png", step)
        log_file(trainer, path, "genotype")
        Console(soft_wrap=True).print(f"Genotype {genotype.hash}: {path}", highlight=False)


def selection_context(module: SearchModule) -> SelectionContext:
    """Return what a criterion may look at in a search that has ended."""

    def loss(sample: Any, batch: Any) -> Tensor:
        return module.run(batch, "held_out", GateSample.of(sample))[0]

    return SelectionContext(
        module.architecture, module.supernet, module.held_out_batches, loss, module.seed
    )


def average_scores(trainer: Trainer, scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of scores (edges, ops) per cell type over the ranks; all ranks must call."""
    means = {
        name: trainer.strategy.reduce(value.detach().clone(), reduce_op="mean")
        for name, value in sorted(scores.items())
    }
    return {name: mean.cpu() for name, mean in means.items() if isinstance(mean, Tensor)}
