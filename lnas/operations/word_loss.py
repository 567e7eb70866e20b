"""The loss of a large vocabulary without its scores in memory, and without what is dropped.

A batch of 35 steps, 256 streams and 10,000 words has 90 million scores; written, normalised and
read again they cost more time than the products that make them. Here a few hundred rows of scores
exist at a time, and since the loss is a mean, its gradients are known as soon as a row is. Where
dropout leaves a stream a quarter of its units for the whole batch, a compiled function takes the
products over these.
"""

from typing import Any

import torch
from torch import Tensor

from lnas.errors import NO_SECOND_DERIVATIVE
from lnas.kernels import kept_word_losses
from lnas.operations.kept_product import leaves_few_units

SCORES = 4_000_000  # at a time; 16 megabytes in single precision

Found = tuple[Tensor, list[Tensor | None]]
"""The mean of the losses, and its gradients: of features, weight and bias."""


def word_loss(
    features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Return the mean cross entropy (nats) of the scores features @ weight.T + bias.

    Args:
        features: (time, streams, units).
        weight: (words, units).
        bias: (words,).
        targets: The right words, (time, streams).
        mask: The features are multiples of these factors, (streams, units). Those of a factor of 0
            may get the gradient 0, which the factor would make of it anyway.
    """
    training = torch.is_grad_enabled()
    needs = [training and tensor.requires_grad for tensor in (features, weight, bias)]
    loss: Tensor = _WordLoss.apply(needs, targets, mask, features, weight, bias)
    return loss


class _WordLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, needs: list[bool], targets: Tensor, mask: Tensor | None, *inputs: Tensor
    ) -> Tensor:
        if mask is not None and leaves_few_units(mask, inputs[0]):
            loss, grads = kept_word_losses(needs, targets, mask, *inputs)
        else:
            loss, grads = _of_all(needs, targets, *inputs)
        ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        scale, found = grads[0], ctx.saved_tensors
        if scale.device.type != "cpu" or scale != 1:  # elsewhere, to look would be to wait
            found = (None if grad is None else grad * scale for grad in found)
        return (None, None, None, *found)


def _of_all(
    needs: list[bool], targets: Tensor, features: Tensor, weight: Tensor, bias: Tensor
) -> Found:
    """Take some rows of all streams at a time."""
    inputs = zip((features, weight, bias), needs, strict=True)
    grads = [torch.zeros_like(tensor) if need else None for tensor, need in inputs]
    of_features, of_weight, of_bias = grads
    loss = features.new_zeros(())
    rows = max(1, SCORES // len(weight))
    flat, goals = features.flatten(0, 1), targets.reshape(-1, 1)
    for start in range(0, len(flat), rows):
        block = slice(start, start + rows)
        x, scores = flat[block], torch.addmm(bias, flat[block], weight.t())
        loss += _turn_to_gradients(scores, goals[block], any(needs))
        if of_features is not None:
            torch.mm(scores, weight, out=of_features.view_as(flat)[block])
        if of_weight is not None:
            of_weight.addmm_(scores.t(), x)
        if of_bias is not None:
            of_bias += scores.sum(0)
    for grad in grads:
        if grad is not None:
            grad /= len(flat)  # not the scores': half precision has no such small probabilities
    return loss / len(flat), grads


def _turn_to_gradients(scores: Tensor, right: Tensor, wanted: bool) -> Tensor:
    """Return the summed loss of scores (rows, words); make them its gradients where wanted."""
    scores -= scores.amax(1, keepdim=True)
    loss = -scores.gather(1, right).sum()
    total = scores.exp_().sum(1, keepdim=True)
    if wanted:
        scores *= total.reciprocal()  # the probabilities, less what is true
        scores.scatter_add_(1, right, -torch.ones_like(right, dtype=scores.dtype))
    return loss + total.log().sum()
