"""The loss of a large vocabulary without its scores in memory.

A batch of 35 steps, 256 streams and 10,000 words has 90 million scores; written, normalised and
read again they cost more time than the products that make them. Here a few hundred rows of scores
exist at a time, and since the loss is a mean, its gradients are known as soon as a row is.
"""

from typing import Any

import torch
from torch import Tensor

from lnas.operations.depthwise import NO_SECOND_DERIVATIVE

SCORES = 4_000_000  # at a time; 16 megabytes in single precision


def word_loss(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy (nats) of the scores features @ weight.T + bias.

    Args:
        features: (tokens, units).
        weight: (words, units).
        bias: (words,).
        targets: The right words, (tokens,).
    """
    training = torch.is_grad_enabled()
    needs = [training and tensor.requires_grad for tensor in (features, weight, bias)]
    loss: Tensor = _WordLoss.apply(needs, targets, features, weight, bias)
    return loss


class _WordLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, needs: list[bool], targets: Tensor, features: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        inputs = zip((features, weight, bias), needs, strict=True)
        grads = [torch.zeros_like(tensor) if need else None for tensor, need in inputs]
        of_features, of_weight, of_bias = grads
        loss = features.new_zeros(())
        rows = max(1, SCORES // len(weight))
        for start in range(0, len(features), rows):
            x, right = features[start : start + rows], targets[start : start + rows, None]
            scores = torch.addmm(bias, x, weight.t()).log_softmax(1)
            loss -= scores.gather(1, right).sum()
            if not any(needs):
                continue
            surprise = scores.exp_()  # probabilities minus what is true: the gradient of a sum
            surprise.scatter_add_(1, right, -torch.ones_like(right, dtype=surprise.dtype))
            if of_features is not None:
                torch.mm(surprise, weight, out=of_features[start : start + rows])
            if of_weight is not None:
                of_weight.addmm_(surprise.t(), x)
            if of_bias is not None:
                of_bias += surprise.sum(0)
        ctx.grads, ctx.tokens = grads, len(features)
        return loss / len(features)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        scale = grads[0] / ctx.tokens
        return (None, None, *(None if grad is None else grad * scale for grad in ctx.grads))
