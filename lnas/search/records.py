"""Records: what a search measures and logs, as rows over `search/step`.

| row | when | losses and accuracies in it |
|---|---|---|
| batch | after every `trainer.log_every_n_steps` weight steps | of the last pass of each kind |
| held out | after validation | means over the held-out images |
| epoch | at the end of an epoch; it has the `arch/...` values | means over the epoch's images |

Everything that a row needs is in the checkpoint, per rank: a resumed search logs the same rows.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lnas.loggers import log_row
from lnas.search.asking import asked
from lnas.search.gradients import average
from lnas.search.trainer import log_interval_of
from lnas.tasks import Batch, Output, Task

if TYPE_CHECKING:
    from lnas.search.module import SearchModule

SKIP = "skip_connect"


class Records:
    """Sums of the epoch, latest values, and the rows made of them.

    Args:
        task: Says what is measured.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.metrics = {role: task.metrics() for role in ("weights", "architecture", "held_out")}
        self.counted = {"weights": 0, "architecture": 0}
        self.latest: dict[str, Tensor] = {}

    def to(self, device: torch.device) -> None:
        """Move the measures."""
        for metrics in self.metrics.values():
            metrics.to(device)

    def due(self, module: "SearchModule", ahead: int = 0) -> bool:
        """Whether a batch row belongs behind the weight step that is `ahead` steps away."""
        every = log_interval_of(module.trainer)
        return every > 0 and (module.steps + ahead) % every == 0

    def count(
        self, module: "SearchModule", stream: str, loss: Tensor, output: Output, batch: Batch
    ) -> None:
        """Count one pass on the stream."""
        self.metrics[stream].update(loss, output, batch)
        self.counted[stream] += 1
        self.latest[f"loss_{stream}"] = loss.detach()
        if stream == "architecture" or self.due(module, ahead=1):
            for name, value in self.task.batch_metrics(output, batch).items():
                self.latest[f"{name}_{stream}"] = value.detach()

    def note(self, terms: dict[str, Tensor]) -> None:
        """Note the terms that callbacks add to the loss."""
        self.latest |= {name: value.detach() for name, value in terms.items()}

    def end_batch(self, module: "SearchModule", last: bool) -> None:
        """Log the batch if it is due; the last one of an epoch is part of the epoch's row."""
        if last:
            module.watch.settle()  # before validation and callbacks look at the epoch
        elif self.due(module):
            self.log_batch(module)

    def log_batch(self, module: "SearchModule") -> None:
        """Log the latest values, averaged over ranks."""
        module.watch.settle()
        names = sorted(self.latest)
        values = [self.latest[name].to(module.device, torch.get_default_dtype()) for name in names]
        means = torch.stack(average(module.trainer.strategy, values)).tolist()
        row = {f"search/{name}": value for name, value in zip(names, means, strict=True)}
        self._write(module, row | _rates(module) | _signals(module))

    def log_epoch(self, module: "SearchModule") -> None:
        """Log the means of the epoch and the state of the architecture; start the next epoch."""
        module.watch.settle()
        row = _rates(module) | _signals(module) | architecture_row(module)
        row |= {
            f"search/{name}": value.item()
            for name, value in self.latest.items()
            if not name.endswith(("_weights", "_architecture"))
        }
        for stream, passes in self.counted.items():
            if passes:
                measured = self.metrics[stream].compute()
                row |= {f"search/{name}_{stream}": value for name, value in measured.items()}
            self.metrics[stream].reset()
            self.counted[stream] = 0
        self._write(module, row)

    def log_held_out(self, module: "SearchModule") -> None:
        """Log the means over the held-out images, and offer them to monitors."""
        measured = self.metrics["held_out"].compute()
        row = {f"search/held_out_{name}": value for name, value in measured.items()}
        module.log_dict(row, logger=False, sync_dist=False)
        self._write(module, row)

    def state(self) -> dict[str, Any]:
        """Return this rank's sums and latest values as plain data."""
        sums = {stream: dict(self.metrics[stream].state_dict()) for stream in self.counted}
        return {"sums": sums, "counted": dict(self.counted), "latest": dict(self.latest)}

    def load(self, state: dict[str, Any]) -> None:
        """Take what `state` returned."""
        for stream, sums in state["sums"].items():
            self.metrics[stream].load_state_dict(sums)
        self.counted = dict(state["counted"])
        self.latest = dict(state["latest"])

    def _write(self, module: "SearchModule", row: dict[str, float]) -> None:
        place: dict[str, float] = {
            "search/step": module.steps,
            "search/epoch": module.current_epoch,
        }
        log_row(module.trainer, place | row)
        shown = {name.removeprefix("search/"): value for name, value in row.items()}
        prefixes = ("loss_", f"{self.task.measure.name}_")
        bar = {name: shown[name] for name in shown if name.startswith(prefixes)}
        module.log_dict(bar, prog_bar=True, logger=False)


def _rates(module: "SearchModule") -> dict[str, float]:
    weights, architecture = (group.param_groups[0]["lr"] for group in module.trainer.optimizers)
    return {
        "search/lr_weights": float(weights),
        "search/lr_architecture": float(architecture),
        "search/architecture_steps": module.architecture_steps,
    }


def _signals(module: "SearchModule") -> dict[str, float]:
    found: dict[str, float] = {}
    for part in asked(module):
        found |= {f"search/{name}": value for name, value in part.signals().items()}
    return found


@torch.no_grad()
def architecture_row(module: "SearchModule") -> dict[str, float]:
    """Return the mean entropy of an edge (nats) and the share of skip connections by cell type."""
    architecture, operations = module.architecture, module.space.operations
    row = {f"arch/{kind}/entropy": v.item() for kind, v in architecture.entropy().items()}
    if SKIP in operations:
        column = operations.index(SKIP)
        for kind, gates in architecture.probabilities().items():
            positive = gates.clamp(min=0)
            share = positive[:, column].sum() / positive.sum().clamp(min=1e-12)
            row[f"arch/{kind}/skip_share"] = share.item()
    return row
