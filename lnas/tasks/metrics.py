"""What sums up an epoch: torchmetrics whose states are in checkpoints and agree over ranks.

torchmetrics leaves its states out of checkpoints by default, and a resumed epoch would then report
only its second half; here they are persistent.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

SILENT = ".*``compute`` method of metric.*was called before the ``update`` method.*"


class Average(Metric):
    """Mean of values that stand for different numbers of samples.

    Unlike torchmetrics' MeanMetric it neither drops NaN nor waits for the device to look for it.
    """

    full_state_update = False
    total: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum", persistent=True)
        self.add_state(
            "samples", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum", persistent=True
        )

    def update(self, value: Tensor, samples: int) -> None:
        """Count `value`, a scalar, as the mean of so many samples."""
        self.total = self.total + value.detach().to(self.total) * samples
        self.samples = self.samples + samples

    def compute(self) -> Tensor:
        """Return the mean over all samples; NaN when there were none."""
        return self.total / self.samples


class EpochMetrics(nn.Module, ABC):
    """Named torchmetrics of one role, a submodule of whoever trains: its states are saved there.

    Args:
        metrics: What to measure, by the name it is logged under (without prefix).
    """

    def __init__(self, **metrics: Metric) -> None:
        super().__init__()
        for name, metric in metrics.items():
            metric.persistent(True)
            self.add_module(name, metric)

    @abstractmethod
    def update(self, loss: Tensor, output: Any, batch: Any) -> None:
        """Count one batch.

        Args:
            loss: Mean loss of the batch, a scalar.
            output: What the network returned, an `Output`.
            batch: The batch.
        """

    def compute(self) -> dict[str, float]:
        """Return each value over the batches since the last reset, of all ranks.

        Under distributed training all ranks must call it: it gathers the states.
        """
        with warnings.catch_warnings():
            # After a resume the states are there although this process has not updated them.
            warnings.filterwarnings("ignore", SILENT, UserWarning)
            return {name: float(metric.compute()) for name, metric in self._metrics()}

    def reset(self) -> None:
        """Forget all batches."""
        for _, metric in self._metrics():
            metric.reset()

    def _metrics(self) -> Iterator[tuple[str, Metric]]:
        return ((name, part) for name, part in self.named_children() if isinstance(part, Metric))
