"""Image classification: cross entropy, with label smoothing and an auxiliary head for training.

Label smoothing e gives the target (1 - e) * one-hot + e / classes (Szegedy et al., 2016), and the
auxiliary head's loss is added with weight 0.4, as in the evaluation of Liu et al., DARTS, 2019.
What is measured (role "held_out") is the plain cross entropy of the main head.
"""

from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from lnas.errors import InputError
from lnas.tasks.base import Batch, NetworkCall, Output, Role, State, Task
from lnas.tasks.measures import ACCURACY
from lnas.tasks.metrics import Average, EpochMetrics


@final
class ImageClassification(Task):
    """Tells classes of images apart; a batch is (images (batch, C, H, W), labels (batch,) int64).

    Args:
        num_classes: Number of classes.
        label_smoothing: Share e of the target that is spread over all classes, in [0, 1).
        auxiliary_weight: Factor of the auxiliary head's loss, at least 0.

    Raises:
        InputError: An argument lies outside its range.
    """

    measure = ACCURACY

    def __init__(
        self, num_classes: int, label_smoothing: float = 0.0, auxiliary_weight: float = 0.4
    ) -> None:
        if num_classes < 2:
            raise InputError(f"num_classes is {num_classes}; classification needs at least 2.")
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing is {label_smoothing}; choose it in [0, 1).")
        if not auxiliary_weight >= 0:
            raise InputError(f"auxiliary_weight is {auxiliary_weight}; choose a number from 0 on.")
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.auxiliary_weight = auxiliary_weight

    def loss(
        self, network_call: NetworkCall, batch: Batch, state: State, role: Role
    ) -> tuple[Tensor, Output, State]:
        """Return (mean cross entropy in nats, output, state); see the base class."""
        images, labels = batch
        output = network_call(images, state)
        if role == "held_out":
            return functional.cross_entropy(output.logits, labels), output, output.state
        loss = self._smoothed(output.logits, labels)
        if output.auxiliary is not None:
            loss = loss + self.auxiliary_weight * self._smoothed(output.auxiliary, labels)
        return loss, output, output.state

    def _smoothed(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    @torch.no_grad()
    def batch_metrics(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Return {"accuracy": share of images whose largest score is their label's}."""
        _, labels = batch
        return {"accuracy": (output.logits.argmax(-1) == labels).float().mean()}

    def metrics(self) -> EpochMetrics:
        """Return a container of "loss" and "accuracy", both means over images."""
        return ClassificationMetrics(self.num_classes)


@final
class ClassificationMetrics(EpochMetrics):
    """Mean loss in nats and share of right answers, over the images of an epoch.

    Args:
        num_classes: Number of classes.
    """

    loss: Average
    accuracy: MulticlassAccuracy

    def __init__(self, num_classes: int) -> None:
        super().__init__(
            loss=Average(),
            # Validation of arguments would wait for the device in every batch.
            accuracy=MulticlassAccuracy(num_classes, average="micro", validate_args=False),
        )

    def update(self, loss: Tensor, output: Any, batch: Any) -> None:
        """Count one batch; see the base class."""
        _, labels = batch
        self.loss.update(loss, len(labels))
        self.accuracy.update(output.logits.detach(), labels)
