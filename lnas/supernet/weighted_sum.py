"""The sum of a node as one autograd function: plain terms, and terms weighed by a gate.

Autograd's own graph would keep an intermediate per term and build a full product to get the
gradient of a gate; here a gate's gradient is a dot product, and only where it is asked for.
"""

from typing import Any

import torch
from torch import Tensor

from lnas.errors import NO_SECOND_DERIVATIVE


def weighted_sum(plain: list[Tensor], gates: list[Tensor], terms: list[Tensor]) -> Tensor:
    """Return sum(plain) + sum_k gates[k] * terms[k]; there is at least one summand.

    Args:
        plain: Images of one shape, (N, C, H, W).
        gates: Scalars, each of shape ().
        terms: As many images as gates.
    """
    if len(plain) == 1 and not terms:
        return plain[0]
    result: Tensor = _WeightedSum.apply(len(plain), len(gates), *plain, *gates, *terms)
    return result


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plain: int, count: int, *tensors: Tensor) -> Tensor:
        gates, terms = tensors[plain : plain + count], tensors[plain + count :]
        needs = ctx.needs_input_grad[2:]
        ctx.plain, ctx.count = plain, count
        ctx.save_for_backward(
            *gates, *(t if need else None for t, need in zip(terms, needs[plain:], strict=False))
        )
        if plain > 1:
            result = tensors[0] + tensors[1]
            rest = tensors[2:plain]
        else:
            result = tensors[0].clone() if plain else torch.zeros_like(terms[0])
            rest = ()
        for term in rest:
            result.add_(term)
        for gate, term in zip(gates, terms, strict=True):
            _add_scaled(result, term, gate)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        (grad,) = grads
        plain, count, saved = ctx.plain, ctx.count, ctx.saved_tensors
        needs = ctx.needs_input_grad[2:]
        gates, terms = saved[:count], saved[count:]
        of_gates = [
            _inner(grad, term) if need else None
            for term, need in zip(terms, needs[plain : plain + count], strict=True)
        ]
        of_terms = [
            grad * gate if need else None
            for gate, need in zip(gates, needs[plain + count :], strict=True)
        ]
        return (None, None, *([grad] * plain), *of_gates, *of_terms)


def _add_scaled(result: Tensor, term: Tensor, gate: Tensor) -> None:
    """Add gate * term in place; reading the gate costs nothing on a CPU and would stall a GPU.

    It would also end the graph of a compiler.
    """
    if gate.device.type == "cpu" and not torch.compiler.is_compiling():
        result.add_(term, alpha=gate.item())
    else:
        result.addcmul_(term, gate)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Return sum(a * b) without the product in memory where both have one layout."""
    b = b.to(a.dtype)  # they differ under autocast only
    if a.is_contiguous():
        return torch.dot(a.reshape(-1), b.reshape(-1))
    return torch.dot(a.permute(0, 2, 3, 1).reshape(-1), b.permute(0, 2, 3, 1).reshape(-1))
