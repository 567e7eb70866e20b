"""Project: edges are decided one after the other while the search goes on.

Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (DARTS-PT), ICLR 2021,
arXiv:2108.04392, algorithm 1: from some epoch on, every few epochs one edge of each cell type is
projected on its strongest operation, and the supernet, fixed there from now on, is tuned until the
next one. When all edges are decided, nodes lose their surplus edges, one node of each cell type at
a time. The last epoch decides all that is left: in the released code 25 epochs serve the six edges
of NAS-Bench-201, and 81 the 14 edges and three nodes of DARTS.

Deviations: the weights' optimizer keeps its momentum where the released code makes a new one (the
lower rate of tuning belongs to the schedule of the weights), and strengths are measured on images
that no optimizer sees.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, final

from lightning.pytorch import LightningModule, Trainer

from lnas.callbacks.derive_genotype import check_criterion, selection_context
from lnas.derivation import Decision, OperationStrength, SelectionContext, save_decisions
from lnas.derivation.deciding import live_rows, undecided
from lnas.derivation.draft import Draft
from lnas.derivation.scores import DECISIONS
from lnas.errors import InputError
from lnas.loggers import log_row
from lnas.search import SearchCallback, SearchModule
from lnas.search.checks import epochs


@final
class Project(SearchCallback):
    """Fixes an edge of each cell type every few epochs, at the start of the epoch.

    Each projection logs `search/projection_margin` and `search/projection_error`, those of its
    least certain decision, and rewrites `decisions.json`; all rows have `search/projected_edges`.
    What is fixed is in the buffers of the architecture. All ranks decide the same.

    Args:
        start: Epoch of the first projection, from 0.
        every: Epochs from one projection to the next.
        criterion: How edges are decided; None is that of the paper: the accuracy without an
            operation, edges in random order.

    Raises:
        InputError: A number is out of range; at setup: the search ends before it starts.
    """

    def __init__(
        self, start: int, every: int = 5, criterion: OperationStrength | None = None
    ) -> None:
        if start < 0 or every < 1:
            raise InputError(
                f"Project(start={start}, every={every}) names no epochs; give a start from 0 on "
                "and 1 or more between projections."
            )
        self.start, self.every = start, every
        self.criterion = criterion or OperationStrength("mask", "accuracy", "random")
        if self.criterion.topology == "strength":
            raise InputError(
                "Project(criterion: topology=strength) would leave the nodes all their edges, with "
                "equal gates; choose greedy or once."
            )
        self.decisions: list[Decision] = []
        self.projected = -1  # the last epoch that began with a projection

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what would decide nothing."""
        assert isinstance(pl_module, SearchModule)
        if stage != "fit":
            return
        check_criterion(self.criterion, pl_module)
        if self.start >= epochs(pl_module):
            raise InputError(
                f"Project(start={self.start}) begins behind the last of {epochs(pl_module)} epochs"
                "; start earlier or raise trainer.max_epochs."
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Project, once in an epoch: a search that is resumed within it comes here again."""
        assert isinstance(pl_module, SearchModule)
        epoch, last = trainer.current_epoch, epochs(pl_module) - 1
        due = epoch >= self.start and (epoch - self.start) % self.every == 0
        if epoch == self.projected or not (due or epoch == last):
            return
        self.projected = epoch
        made = self._project(pl_module)
        while made and epoch == last:
            more = self._project(pl_module)
            made += more
            if not more:
                break
        if made:
            self.decisions += made
            self._log(trainer, pl_module, made)

    def signals(self) -> dict[str, float]:
        """Return the number of edges that were decided or removed so far."""
        return {"projected_edges": float(len(self.decisions))}

    def state_dict(self) -> dict[str, Any]:
        """Return what was decided, and when last."""
        return {
            "projected": self.projected,
            "decisions": [asdict(decision) for decision in self.decisions],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self.projected = state_dict["projected"]
        self.decisions = [Decision(**decision) for decision in state_dict["decisions"]]

    def _project(self, module: SearchModule) -> list[Decision]:
        """Decide an edge of each cell type or, if there is none left, prune a node of each."""
        context, architecture = selection_context(module), module.architecture
        made = []
        places = self.criterion.order(context, undecided(architecture))
        for kind in module.space.cell_types:
            place = next((place for place in places if place[0] == kind), None)
            if place is not None:
                choice = self.criterion.decide(context, Draft.of(architecture), place)
                architecture.fix(kind, place[1], choice.index)
                made.append(choice.decision)
        if places:
            return made
        for kind in module.space.cell_types:
            made += self._prune(context, kind)
        return made

    def _prune(self, context: SelectionContext, kind: str) -> list[Decision]:
        """Take its surplus edges from the first node that has any."""
        architecture, draft = context.architecture, Draft.of(context.architecture)
        for node in self.criterion.nodes(context, kind):
            rows = live_rows(draft, architecture.space, kind, node)
            choices = self.criterion.prune(context, draft, kind, rows, len(rows))
            for choice in choices:
                architecture.remove(kind, choice.index)
            if choices:
                return [choice.decision for choice in choices]
        return []

    def _log(self, trainer: Trainer, module: SearchModule, made: list[Decision]) -> None:
        row: dict[str, float] = {"search/step": module.steps, "search/epoch": self.projected}
        known = [d for d in made if d.margin is not None]
        if known:
            closest = min(known, key=lambda decision: decision.margin or 0.0)
            row["search/projection_margin"] = closest.margin or 0.0
            if closest.margin_error is not None:
                row["search/projection_error"] = closest.margin_error
        log_row(trainer, row | {"search/projected_edges": len(self.decisions)})
        if trainer.is_global_zero:
            save_decisions(Path(trainer.default_root_dir) / DECISIONS, self.decisions)
