"""Language modelling: the cross entropy of the next word, and what keeps a recurrent network calm.

Merity et al., "Regularizing and Optimizing LSTM Language Models", ICLR 2018, arXiv:1708.02182, as
in the released recurrent DARTS: the loss of the weights, and no other, gets
activation * mean(d^2) of the outputs d behind dropout, and temporal * mean((h_t - h_(t-1))^2) of
the outputs h before it. Perplexity is that of the cross entropy alone.
"""

from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torchmetrics.text import Perplexity

from lnas.errors import InputError
from lnas.tasks.base import Batch, NetworkCall, Output, Role, State, Task
from lnas.tasks.measures import PERPLEXITY
from lnas.tasks.metrics import Average, EpochMetrics

REGULARISED = ("weights", "joint", "evaluation")


class TextBatch(NamedTuple):
    """A window of several texts side by side; a plain tuple, so that loaders and devices know it.

    Args:
        inputs: Words, (time, streams) int64.
        targets: The words that follow them, (time, streams).
        starts: The texts begin here: nothing is carried over from the batch before.
        share: Length over the usual length, the factor of the learning rate in this batch.
    """

    inputs: Tensor
    targets: Tensor
    starts: bool
    share: float = 1.0


@final
class LanguageModeling(Task):
    """Foretells the next word; a batch is a `TextBatch`.

    Args:
        vocabulary_size: Number of words.
        activation: Weight of the squared outputs (alpha of the paper), at least 0.
        temporal: Weight of the squared differences of successive outputs (beta), at least 0.

    Raises:
        InputError: A number is out of its range.
    """

    measure = PERPLEXITY

    def __init__(
        self, vocabulary_size: int, activation: float = 0.0, temporal: float = 1e-3
    ) -> None:
        if vocabulary_size < 2:
            raise InputError(f"vocabulary_size is {vocabulary_size}; give at least 2 words.")
        for name, weight in (("activation", activation), ("temporal", temporal)):
            if not weight >= 0:
                raise InputError(f"{name} is {weight}; choose a number from 0 on.")
        self.vocabulary_size = vocabulary_size
        self.activation, self.temporal = activation, temporal

    def loss(
        self, network_call: NetworkCall, batch: Batch, state: State, role: Role
    ) -> tuple[Tensor, Output, State]:
        """Return (mean loss in nats, output, detached state); see the base class."""
        output = network_call(batch.inputs, None if batch.starts else state)
        entropy = output.cross_entropy(batch.targets)
        loss = entropy + self.penalty(output) if role in REGULARISED else entropy
        carried = None if output.state is None else output.state.detach()
        return loss, output.with_entropy(entropy), carried

    def penalty(self, output: Output) -> Tensor | float:
        """Return what is added to the loss of the weights, a scalar."""
        if output.activations is None:
            return 0.0
        hidden, dropped = output.activations
        total: Tensor | float = 0.0
        if self.activation:
            total = total + self.activation * dropped.square().mean()
        if self.temporal and len(hidden) > 1:
            total = total + self.temporal * (hidden[1:] - hidden[:-1]).square().mean()
        return total

    def learning_rate_factor(self, batch: Batch) -> float:
        """Return the batch's share of the usual length: a short window steps less far."""
        return float(batch.share)

    @torch.no_grad()
    def batch_metrics(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Return {"cross_entropy": the loss without what regularises it, in nats}.

        Not the perplexity, whose mean over ranks is not that of their words together.
        """
        assert output.entropy is not None
        return {"cross_entropy": output.entropy}

    def metrics(self) -> EpochMetrics:
        """Return a container of "loss" and "perplexity", both over words."""
        return LanguageMetrics()


@final
class WordPerplexity(Perplexity):
    """torchmetrics' perplexity from cross entropies that are known already.

    Its own update would normalise the scores of all words once more.
    """

    def __init__(self) -> None:
        super().__init__()
        for name in ("total_log_probs", "count"):  # sums over millions of words
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(  # type: ignore[override]  # that of torchmetrics takes scores
        self, entropy: Tensor, words: int
    ) -> None:
        """Count `entropy`, in nats, as the mean of so many words."""
        self.total_log_probs = self.total_log_probs + entropy.to(self.total_log_probs) * words
        self.count = self.count + words


@final
class LanguageMetrics(EpochMetrics):
    """Mean loss in nats and perplexity, over the words of an epoch."""

    loss: Average
    perplexity: WordPerplexity

    def __init__(self) -> None:
        super().__init__(loss=Average(), perplexity=WordPerplexity())

    def update(self, loss: Tensor, output: Any, batch: Any) -> None:
        """Count one batch; see the base class."""
        words = batch.targets.numel()
        self.loss.update(loss, words)
        self.perplexity.update(output.entropy, words)
