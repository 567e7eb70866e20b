"""What one state adds to the nodes that it enters, for all its edges at once, as one function.

The factors of what edges share (a state, its pools) differ from edge to edge: forward, each shared
image is added to all edges by one call; backward, its gradient is one product of matrices, and so
is that of its gates.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lnas.errors import NO_SECOND_DERIVATIVE


def edge_sum(
    edges: int, plain: Sequence[Tensor], gates: Sequence[Tensor], shared: Sequence[Tensor]
) -> Tensor:
    """Return sum(plain) + sum_k gates[k] * shared[k] for each edge, (N, edges, C, H, W).

    Args:
        edges: Number of edges.
        plain: Images of every edge, (N, edges * C, H, W).
        gates: For each shared image a factor of each edge, (edges,), or of each image and edge,
            (N, edges).
        shared: Images that are the same for all edges, (N, C, H, W).
    """
    if len(plain) == 1 and not shared:
        return by_edge(plain[0], edges)
    result: Tensor = _EdgeSum.apply(edges, len(plain), len(gates), *plain, *gates, *shared)
    return result


def by_edge(x: Tensor, edges: int) -> Tensor:
    """Return (N, edges * C, H, W) as (N, edges, C, H, W)."""
    n, channels, height, width = x.shape
    return x.view(n, edges, channels // edges, height, width)


class _EdgeSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: int, plain: int, count: int, *tensors: Tensor) -> Tensor:
        gates, shared = tensors[plain : plain + count], tensors[plain + count :]
        needs = ctx.needs_input_grad[3:]
        of_gates, of_shared = needs[plain : plain + count], needs[plain + count :]
        ctx.plain, ctx.count = plain, count
        # A gate's gradient wants its image, the image's gradient its gate.
        ctx.save_for_backward(
            *(gate if need else None for gate, need in zip(gates, of_shared, strict=True)),
            *(image if need else None for image, need in zip(shared, of_gates, strict=True)),
        )
        ctx.kinds = [gate.dtype for gate in gates]
        ctx.per_image = [gate.dim() == 2 for gate in gates]
        wide = [by_edge(one, edges) for one in tensors[:plain]]
        pairs = [
            (image.unsqueeze(1), gate.view(*gate.shape, 1, 1, 1))
            for image, gate in zip(shared, gates, strict=True)
        ]
        # The sum is of the images' kind, though gates are wider under autocast.
        if plain > 1:
            result = wide[0] + wide[1]
        elif plain:
            result = torch.addcmul(wide[0], *pairs.pop(0), out=torch.empty_like(wide[0]))
        else:
            n, *rest = shared[0].shape
            result = torch.mul(*pairs.pop(0), out=shared[0].new_empty(n, edges, *rest))
        for one in wide[2:]:
            result.add_(one)
        for image, factors in pairs:
            result.addcmul_(image, factors)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        (grad,) = grads
        n, edges, *sizes = grad.shape
        saved = ctx.saved_tensors  # read once, as checkpointing asks for
        gates, shared = saved[: ctx.count], saved[ctx.count :]
        flat = grad.reshape(n, edges, -1)
        of_gates: list[Tensor | None] = []
        for image, kind, per_image in zip(shared, ctx.kinds, ctx.per_image, strict=True):
            if image is None:
                of_gates.append(None)
                continue
            column = image.to(grad.dtype).reshape(n, -1, 1)
            products = torch.bmm(flat, column).squeeze(2).to(kind)
            of_gates.append(products if per_image else products.sum(0))
        of_shared = [
            None
            if gate is None
            else torch.bmm(gate.to(grad.dtype).expand(n, edges).unsqueeze(1), flat).view(n, *sizes)
            for gate in gates
        ]
        of_plain = [grad.flatten(1, 2)] * ctx.plain
        return (None, None, None, *of_plain, *of_gates, *of_shared)
