"""Measures on held-out batches, outside the trainer's own validation.

Nothing of the search changes: running averages, random numbers and training mode stay as they are.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lnas.operations import mode
from lnas.operations.normalization import Statistics
from lnas.relaxations import GateSample
from lnas.tasks import Batch

if TYPE_CHECKING:
    from lnas.search.module import SearchModule


@torch.no_grad()
def measure(
    module: "SearchModule",
    samples: Iterable[GateSample],
    batches: int | None = None,
    statistics_mode: Statistics = "batch",
    weights: dict[str, Tensor] | None = None,
) -> dict[str, float]:
    """Return the task's measures by name: means over the held-out images of all ranks.

    Args:
        module: The search; every rank must call.
        samples: The gates of each batch.
        batches: How many held-out batches at most; None: all.
        statistics_mode: What batch normalisation does, "batch" or "running".
        weights: Weights and buffers to use instead of the supernet's own, by name.
    """
    metrics, state = module.task.metrics().to(module.device), None
    with mode(module, training=False):
        pairs = zip(module.held_out_batches(), samples, strict=False)
        for batch, sample in islice(pairs, batches):
            loss, output, state = module.run(
                batch, "held_out", sample, statistics_mode, weights, state
            )
            metrics.update(loss, output, batch)
    return metrics.compute()


@torch.no_grad()
def measure_each(
    module: "SearchModule", samples: Sequence[GateSample], batch: Batch
) -> list[dict[str, Tensor]]:
    """Return what one held-out batch gives under each of many gates, with its own statistics.

    Args:
        module: The search.
        samples: The gates.
        batch: The batch, on the device.

    Returns:
        For each sample "loss" (nats), what the task measures of a batch, and "examples" (number of
        images or words), all scalars.
    """
    found = []
    with mode(module, training=False), module.supernet.recalling():
        for sample in samples:
            loss, output, _ = module.run(batch, "held_out", sample)
            measures = module.task.batch_metrics(output, batch)
            examples = loss.new_tensor(output.count)
            found.append({"loss": loss, "examples": examples, **measures})
    return found
