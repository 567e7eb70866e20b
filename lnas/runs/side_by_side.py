"""Many criteria on one finished supernet, side by side: cells, child accuracy, agreement."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lnas.callbacks.derive_genotype import (
    average_scores,
    check_criterion,
    on_device,
    selection_context,
)
from lnas.derivation import Decision, OperationStrength, SelectionContext, magnitudes
from lnas.derivation.agreement import agreement, rank_correlations
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.loggers import log_picture, log_row, log_table
from lnas.networks import build
from lnas.relaxations import GateSample
from lnas.runs.criteria import NamedCriterion
from lnas.search import SearchModule
from lnas.search.measuring import measure
from lnas.search.shuffling import draw_pairs, measure_shuffled
from lnas.search.trainer import data_of
from lnas.visualize import draw_criteria, draw_genotype, draw_strengths


@dataclass(frozen=True)
class Derived:
    """What one criterion derived.

    Args:
        criterion: Its name.
        genotype: The cell.
        measures: Of the child on held-out examples, with the supernet's weights and the statistics
            of each batch.
        parameters: Of the usual network of this cell.
        agreement: Share of edges on which it agrees with the first criterion.
        decisions: Edge by edge, where the criterion decides so.
    """

    criterion: str
    genotype: Genotype
    measures: dict[str, float]
    parameters: int
    agreement: float
    decisions: list[Decision]

    def plain(self) -> dict[str, Any]:
        """Return this as plain data."""
        return {
            "criterion": self.criterion,
            "hash": self.genotype.hash,
            **self.measures,
            "parameters": self.parameters,
            "agreement": self.agreement,
            "decisions": [asdict(decision) for decision in self.decisions],
        }


@final
class SideBySide(Callback):
    """Derives by each criterion at the end of a fit and writes cells and pictures.

    Args:
        criteria: The criteria.
        batches: Held-out batches that children are measured on; None: all.
        shuffles: How often two edges of each cell are exchanged and the supernet measured.

    Attributes:
        supernet: Measures of the supernet itself.
        derived: One of each criterion.
        shuffled: Measures of the supernet under each exchange.
        correlations: Of gate and strength on each edge, per cell type; None without strengths.
    """

    def __init__(
        self, criteria: Sequence[NamedCriterion], batches: int | None = None, shuffles: int = 0
    ) -> None:
        self.criteria, self.batches, self.shuffles = list(criteria), batches, shuffles
        self.supernet: dict[str, float] = {}
        self.derived: list[Derived] = []
        self.shuffled: list[dict[str, float]] = []
        self.correlations: dict[str, list[float | None]] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse criteria that would miss something, and a shuffle of what has no cells."""
        assert isinstance(pl_module, SearchModule)
        if self.shuffles and not hasattr(pl_module.supernet, "cells"):
            raise InputError(
                f"The edges of {type(pl_module.supernet).__name__} cannot be exchanged; leave "
                "--shuffle out."
            )
        data_of(trainer).held_out_loader()
        for one in self.criteria:
            check_criterion(one.criterion, pl_module)
            one.check(pl_module.space, magnitudes(pl_module.architecture))

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Derive and measure."""
        assert isinstance(pl_module, SearchModule)
        with on_device(trainer, pl_module):
            self._compare(trainer, pl_module, Path(trainer.default_root_dir))

    def _compare(self, trainer: Trainer, module: SearchModule, folder: Path) -> None:
        context, noise_free = selection_context(module), module.architecture.noise_free()
        self.supernet = measure(module, repeat(noise_free), self.batches)
        for number, one in enumerate(self.criteria):
            scores = average_scores(trainer, one.criterion.scores(one.context(context)))
            found = self._derived(module, one, one.space(module.space).derive(scores))
            self.derived.append(found)
            found.genotype.save(folder / f"genotype-{number}.json")
            draw_genotype(found.genotype, folder / f"genotype-{number}.png")
        for index in range(self.shuffles):
            pairs = draw_pairs(module.space, module.seed, index)
            self.shuffled.append(measure_shuffled(module, pairs, self.batches))
        self._correlate(context, folder)
        self._log(trainer, module, folder)

    def _log(self, trainer: Trainer, module: SearchModule, folder: Path) -> None:
        """Draw the children and hand all to the loggers."""
        children = [
            (one.criterion, one.measures, one.parameters, one.agreement) for one in self.derived
        ]
        draw_criteria(self.supernet, children, folder / "criteria.png")
        step = module.steps
        for name in ("criteria", "strength") if self.correlations else ("criteria",):
            log_picture(trainer, name, folder / f"{name}.png", step)
        names = list(self.supernet)
        rows = [
            [one.criterion, *one.measures.values(), one.parameters, one.agreement]
            for one in self.derived
        ]
        log_table(
            trainer, "derivations", ["criterion", *names, "parameters", "agreement"], rows, step
        )
        row = {f"derive/supernet_{name}": value for name, value in self.supernet.items()}
        for one in self.derived:
            word = re.sub("[^a-z0-9]+", "_", one.criterion)
            row |= {f"derive/{word}_{name}": value for name, value in one.measures.items()}
        log_row(trainer, {"search/step": step, **row})

    def _derived(self, module: SearchModule, one: NamedCriterion, genotype: Genotype) -> Derived:
        space = one.space(module.space)
        like = next(module.supernet.parameters())
        child = GateSample.child({n: t.to(like) for n, t in space.one_hot(genotype).items()})
        measures = measure(module, repeat(child), self.batches)
        data = data_of(module.trainer)
        network = data.examples.build(build, genotype)
        weights = dict(network.named_parameters()).items()
        first = self.derived[0].genotype if self.derived else genotype
        return Derived(
            one.name,
            genotype,
            measures,
            sum(p.numel() for name, p in weights if not name.startswith("auxiliary.")),
            agreement(module.space, genotype, first),
            list(one.criterion.decisions),
        )

    def _correlate(self, context: SelectionContext, folder: Path) -> None:
        """Compare gates with the strengths of the first criterion that has any."""
        strong = [o for o in self.criteria if isinstance(o.criterion, OperationStrength)]
        if not strong:
            return
        criterion = strong[0].criterion
        assert isinstance(criterion, OperationStrength)
        strengths = criterion.strengths(context)
        gates = {kind: table.cpu() for kind, table in magnitudes(context.architecture).items()}
        self.correlations = rank_correlations(gates, strengths)
        unit = "nats" if criterion.criterion == "loss" else "share of right answers"
        draw_strengths(
            gates, strengths, self.correlations, context.architecture.space,
            folder / "strength.png", f"strength by {criterion.mode} ({unit})",
        )  # fmt: skip
