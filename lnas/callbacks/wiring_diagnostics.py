"""WiringDiagnostics: how the wiring of a cell evolves, and what its operations cost the loss.

The measurements of Xie et al., "Understanding the wiring evolution in differentiable neural
architecture search", AISTATS 2021, arXiv:2009.01272, and its three observations:

- *growing instead of pruning*: most edges first turn to *none*, and some come back later;
- *width before depth*: those that come back read the inputs, edges between nodes stay *none*;
- *no edge under two levels*: with costs of held-out images, all edges end at *none*.

The costs (see `lnas.callbacks.wiring_costs`) come from the search's own passes; nothing is run for
them. An operation that a pass left out is not counted in it; *none* always costs 0.
"""

from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lnas.callbacks.wiring_costs import (
    GROUPS,
    SUMS,
    CostSums,
    answers,
    gate_costs,
    last_cell_cost,
    sampled,
)
from lnas.errors import InputError
from lnas.loggers import JsonLines, log_row
from lnas.search import SearchCallback, SearchModule, SearchStep
from lnas.search.gradients import average
from lnas.spaces import active_edges, wiring_of
from lnas.spaces.wiring import NONE

STREAMS = ("weights", "architecture")


@final
class WiringDiagnostics(SearchCallback):
    """Watches costs in some passes; behind each epoch logs a row and a line of `wiring.jsonl`.

    Logs per cell type the best operations' wiring `arch/<type>/active_edges`, `input_edges`,
    `inner_edges`, `width`, `depth`, and the probability of *none* on each edge,
    `arch/<type>/none_<edge>`; per stream the mean over the epoch's watched passes of
    `search/loss_minus_entropy_<stream>`, `search/last_cell_cost_<stream>`, and of the cost of an
    operation that is not *none* on the edges from inputs and between nodes,
    `search/input_edge_cost_<stream>` and `search/inner_edge_cost_<stream>` (all in nats).

    Args:
        every: Weight steps between the batches whose passes are watched.

    Raises:
        InputError: `every` is below 1.
    """

    FILE = "wiring.jsonl"

    def __init__(self, every: int = 20) -> None:
        if every < 1:
            raise InputError(f"every={every} is no number of steps; give 1 or more.")
        self.every = every
        self.sums = {stream: CostSums() for stream in STREAMS}
        self._lines = 0
        self._file: JsonLines | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse scaled losses, whose gradients are none of the loss."""
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            raise InputError(
                f"WiringDiagnostics reads gradients before Trainer(precision={trainer.precision!r})"
                " has unscaled them; use precision='bf16-mixed', or leave the callback out."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go back to the lines that the checkpoint knows of."""
        for sums in self.sums.values():
            sums.values = {name: value.to(pl_module.device) for name, value in sums.values.items()}
        if trainer.is_global_zero:
            self._file = JsonLines(Path(trainer.default_root_dir) / self.FILE)
            self._file.rewind(self._lines)

    def watches_gates(self, module: SearchModule, step: SearchStep) -> bool:
        """Whether the batch is one of those that are watched."""
        return module.steps % self.every == 0

    def on_weight_gradients(self, module: SearchModule, step: SearchStep) -> None:
        """Count the pass of the weights, or of both levels together."""
        self._count(module, step)

    def on_architecture_step(self, module: SearchModule, step: SearchStep) -> None:
        """Count the pass of the architecture."""
        if step.role == "architecture":
            self._count(module, step)

    @torch.no_grad()
    def _count(self, module: SearchModule, step: SearchStep) -> None:
        if not self.watches_gates(module, step):
            return
        assert step.sample is not None
        assert step.output is not None
        assert step.batch is not None
        each = gate_costs(step.sample, step.gate_gradients)
        names, final = sorted(each), each[module.supernet.cell_types_of_cells[-1]][-1]
        last = last_cell_cost(module.space, final)
        scores, targets = step.output.logits.flatten(0, -2), step.batch[1].flatten()
        values = [*(each[name].sum(0) for name in names), last, answers(scores, targets).to(last)]
        *costs, last, answered = average(module.trainer.strategy, values)
        counted = {name: sampled(step.sample.gates[name]) for name in names}
        self.sums[step.stream].add(
            dict(zip(names, costs, strict=True)), counted, last=last, answers=answered
        )

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log and write the epoch, and start the next one."""
        assert isinstance(pl_module, SearchModule)
        place = {"epoch": trainer.current_epoch, "step": pl_module.steps}
        row: dict[str, float] = {f"search/{name}": number for name, number in place.items()}
        found, line = wiring_records(pl_module)
        row |= found
        line["streams"] = {}
        for stream, sums in self.sums.items():
            if sums.values:
                found, line["streams"][stream] = cost_records(pl_module, sums)
                row |= {f"search/{name}_{stream}": value for name, value in found.items()}
        self.sums = {stream: CostSums() for stream in STREAMS}
        self._lines += 1
        if self._file is not None:
            self._file.append(place | line)
        log_row(trainer, row)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of lines, and the sums of the epoch under way."""
        sums = {stream: dict(sums.values) for stream, sums in self.sums.items()}
        return {"lines": self._lines, "sums": sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self._lines = int(state_dict["lines"])
        for stream, values in state_dict["sums"].items():
            self.sums[stream].values = dict(values)


def wiring_records(module: SearchModule) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the logged values and the record of what the noise-free gates look like."""
    space = module.space
    row: dict[str, float] = {}
    line: dict[str, Any] = {}
    for kind, table in module.architecture.probabilities().items():
        if kind not in module.supernet.cell_types_of_cells:
            continue
        active = active_edges(space, table)
        found = wiring_of(space, active)
        numbers = {"active_edges": found.active, "input_edges": found.from_inputs}
        numbers |= {"inner_edges": found.between_nodes, "width": found.width, "depth": found.depth}
        row |= {f"arch/{kind}/{name}": float(number) for name, number in numbers.items()}
        if NONE in space.operations:
            dropped = table[:, space.operations.index(NONE)].tolist()
            pairs = zip(space.edges, dropped, strict=True)
            row |= {f"arch/{kind}/none_{edge.name}": share for edge, share in pairs}
        best = [space.operations[column] for column in table.argmax(-1).tolist()]
        chosen = [name if on else NONE for name, on in zip(best, active, strict=True)]
        line[kind] = {"gates": table.tolist(), "chosen": chosen, "wiring": numbers}
    return row, {"cells": line}


def cost_records(module: SearchModule, sums: CostSums) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the logged values and the record of one stream's costs in an epoch."""
    space, mean = module.space, sums.mean("answers")
    loss, entropy, _ = mean.sum(0).tolist()
    groups = {
        group: dict(zip(SUMS, values, strict=True))
        for group, values in zip(GROUPS, mean.tolist(), strict=True)
    }
    row = {"loss_minus_entropy": loss - entropy, "last_cell_cost": float(sums.mean("last"))}
    line: dict[str, Any] = {"answers": groups, "last_cell_cost": row["last_cell_cost"]}
    from_inputs = torch.tensor([edge.source < space.inputs for edge in space.edges])
    something = torch.tensor([name != NONE for name in space.operations])
    tables: dict[str, list[Tensor]] = {"input_edge_cost": [], "inner_edge_cost": []}
    for kind in sorted(set(module.supernet.cell_types_of_cells)):
        cost, variance, count = (table.cpu() for table in sums.costs(kind))
        line[kind] = {
            "mean": cost.tolist(), "variance": variance.tolist(), "passes": count.tolist()
        }  # fmt: skip
        for name, edges in (("input_edge_cost", from_inputs), ("inner_edge_cost", ~from_inputs)):
            tables[name].append(cost[edges[:, None] & something & (count > 0)])
    means = {name: torch.cat(found).mean() for name, found in tables.items()}
    row |= {name: float(value) for name, value in means.items() if not value.isnan()}
    return row, line
