"""DeriveGenotype: at the end of a search, from scores to the genotype, its file and its picture.

It runs at the end of the fit, behind the last checkpoint: a run that is killed while it derives is
resumed from that checkpoint, has nothing left to train, and derives again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor

from lnas.derivation import (
    Decision,
    Magnitude,
    SelectionContext,
    SelectionCriterion,
    save_decisions,
    save_scores,
)
from lnas.derivation.scores import DECISIONS
from lnas.derivation.scores import FILE as SCORES
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.loggers import log_file, log_picture
from lnas.relaxations import GateSample
from lnas.search import SearchModule
from lnas.search.checks import held_out_loader
from lnas.search.gradients import average
from lnas.search.measuring import measure_each
from lnas.visualize import draw_genotype

BLIND = (
    "All ways through the cells are none: the derived network does not see its images and gives "
    "one answer to all. Lower the weight of ResourceCost or the threshold of the space's rule, or "
    "exclude none in it."
)


@final
class DeriveGenotype(Callback):
    """Writes `genotype.json`, its pictures and `scores.json` into the run folder.

    A criterion that decides edge by edge leaves `decisions.json` as well.

    Args:
        criterion: What scores (edge, operation); None is the magnitude of the gates. The rule that
            makes a genotype of the scores is the space's.

    Attributes:
        genotype: What was derived, on every rank; None before.
    """

    def __init__(self, criterion: SelectionCriterion | None = None) -> None:
        self.criterion = criterion or Magnitude()
        self.genotype: Genotype | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a criterion that would miss something at the end of the search."""
        assert isinstance(pl_module, SearchModule)
        if stage == "fit":
            check_criterion(self.criterion, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Derive on rank 0 from scores averaged over the ranks, and tell the others."""
        assert isinstance(pl_module, SearchModule)
        with on_device(trainer, pl_module):
            scores = self.criterion.scores(selection_context(pl_module))
            scores = {name: table.to(pl_module.device) for name, table in scores.items()}
            scores = average_scores(trainer, scores)
        text = pl_module.space.derive(scores).to_json() if trainer.is_global_zero else ""
        self.genotype = Genotype.from_json(trainer.strategy.broadcast(text))
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            save_scores(folder / SCORES, pl_module.space, scores)
            if self.criterion.decisions:
                save_decisions(folder / DECISIONS, self.criterion.decisions)
                print_decisions(self.criterion.decisions)
            self._write(trainer, self.genotype, pl_module.steps)
        trainer.strategy.barrier("genotype")

    def _write(self, trainer: Trainer, genotype: Genotype, step: int) -> None:
        folder = Path(trainer.default_root_dir)
        # genotype.json last: who finds it finds everything.
        for suffix in (".png", ".svg"):
            draw_genotype(genotype, folder / f"genotype{suffix}")
        path = folder / "genotype.json"
        genotype.save(path)
        log_picture(trainer, "genotype", folder / "genotype.png", step)
        log_file(trainer, path, "genotype")
        console = Console(soft_wrap=True, highlight=False)
        console.print(f"Genotype {genotype.hash}: {path}")
        if is_blind(genotype):
            console.print(f"[bold red]{BLIND}[/]")


@contextmanager
def on_device(trainer: Trainer, module: SearchModule) -> Iterator[None]:
    """Bring the module back to the trainer's device: Lightning takes it off before `on_fit_end`."""
    left = module.device
    module.to(trainer.strategy.root_device)
    try:
        yield
    finally:
        module.to(left)


def is_blind(genotype: Genotype) -> bool:
    """Whether nothing of an image reaches the output of the genotype's usual network.

    A rule that may choose *none* on every edge can derive such cells; they build and train.
    """
    if genotype.space != "darts":
        return genotype.space == "nasbench201" and 0 not in genotype.needed("cell")
    layers = 20
    seen = [True, True]  # what the first cell reads
    for index in range(layers):
        kind = "reduce" if index in (layers // 3, 2 * layers // 3) else "normal"
        inputs = genotype.needed(kind) & {0, 1}
        seen.append(any(seen[index + state] for state in inputs))
    return not seen[-1]


def check_criterion(criterion: SelectionCriterion, module: SearchModule) -> None:
    """Refuse a criterion that needs what the search does not have.

    Raises:
        InputError: There are no held-out batches, or the task has no accuracy.
    """
    if criterion.reads_batches:
        held_out_loader(module)
    if criterion.reads_accuracy and module.task.measure.name != "accuracy":
        raise InputError(
            f"{type(criterion).__name__}(criterion='accuracy') needs a task with an accuracy, and "
            f"{type(module.task).__name__} has a {module.task.measure.name}; use criterion='loss'."
        )


def print_decisions(decisions: Sequence[Decision]) -> None:
    """Say in one line how certain the decisions are."""
    ratios = [
        d.margin / d.margin_error for d in decisions if d.margin is not None and d.margin_error
    ]
    if ratios:
        clear = sum(ratio > 2 for ratio in ratios)
        Console(soft_wrap=True, highlight=False).print(
            f"{len(decisions)} edges decided, {clear} by more than two standard errors"
        )


def selection_context(module: SearchModule) -> SelectionContext:
    """Return what a criterion may look at in a search; every rank must ask it the same."""

    def loss(sample: Any, batch: Any) -> Tensor:
        return module.run(batch, "held_out", GateSample.of(sample))[0]

    def mean(tensor: Tensor) -> Tensor:
        return average(module.trainer.strategy, [tensor])[0]

    return SelectionContext(
        module.architecture,
        module.supernet,
        module.held_out_batches,
        loss,
        module.seed,
        mean,
        partial(measure_each, module),
        module.trainer.world_size,
    )


def average_scores(trainer: Trainer, scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of scores (edges, ops) per cell type over the ranks; all ranks must call."""
    means = {
        name: trainer.strategy.reduce(value.detach().clone(), reduce_op="mean")
        for name, value in sorted(scores.items())
    }
    return {name: mean.cpu() for name, mean in means.items() if isinstance(mean, Tensor)}
