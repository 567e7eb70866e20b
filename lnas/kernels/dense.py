"""Dense convolutions, skips and averages of all edges that leave a state, as one autograd function.

    edge(x) = sum_k gate[k] * normalise(convolution_k(relu(x))) + skip * x + pool * average(x)

with the statistics of the batch and without scale and shift, as in the search network of
NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv:2001.00326). Convolutions are computed by Winograd's
minimal algorithm for tiles of 2x2 outputs: 16 products for 36, the same numbers up to rounding. A
state is rectified and spread into tiles once for all edges that read it, and so are, backward, the
gradients of all of them brought back. What is kept of a convolution is its result; a gradient is
computed only where it is asked for.
"""

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from lnas.errors import NO_SECOND_DERIVATIVE
from lnas.kernels.convolutions import Functions, channels_last


@dataclass(frozen=True)
class Dense:
    """ReLU, dense convolution, normalisation.

    Args:
        weight: Its kernel, (C, C, k, k), k = 1 or 3.
        eps: Added to the variance.
        bias: Normalisation takes it away; its gradient is exactly 0.
    """

    weight: Tensor
    eps: float
    bias: Tensor | None = None


@dataclass(frozen=True)
class Gated:
    """What a term is weighed by.

    Args:
        gate: A scalar, ().
        factors: A factor of each image, (N,), a constant.
    """

    gate: Tensor
    factors: Tensor | None = None


@dataclass
class Edge:
    """What is summed up on one edge.

    Args:
        dense: Its convolutions, and what they are weighed by.
        skip: What the state itself is weighed by, if it is a term.
        pool: What the averages of its 3x3 windows are weighed by, padding left out.
        before: Something else to be summed up, (N, C, H, W).
    """

    dense: list[tuple[Dense, Gated]] = field(default_factory=list)
    skip: Gated | None = None
    pool: Gated | None = None
    before: Tensor | None = None

    def terms(self) -> list[Gated]:
        """Return what all terms are weighed by: convolutions, skip, average."""
        rest = [gated for gated in (self.skip, self.pool) if gated is not None]
        return [gated for _, gated in self.dense] + rest


def dense_edges(x: Tensor, edges: Sequence[Edge]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weighted sum of each edge that reads a state, and the moments of convolutions.

    Args:
        x: The state, (N, C, H, W), that the kernels support.
        edges: What to sum up.

    Returns:
        The sums, each (N, C, H, W), and for each convolution of all edges mean, 1 / standard
        deviation and biased variance of each channel, (3, C), float64.
    """
    terms = [gated for edge in edges for gated in edge.terms()]
    factors = [None if g.factors is None else g.factors.to(x.dtype).contiguous() for g in terms]
    known = [dense for edge in edges for dense, _ in edge.dense]
    forms = _Forms(edges, factors)
    moments: list[Tensor] = []
    outputs = _DenseEdges.apply(
        x,
        torch.stack([gated.gate for gated in terms]),
        forms,
        moments,
        *(edge.before for edge in edges),
        *(dense.weight for dense in known),
        *(dense.bias for dense in known),
    )
    return list(outputs), moments


class _Convolution(ctypes.Structure):
    """See `Dense` in dense.hpp."""

    _fields_ = (
        ("kernel", ctypes.c_int64),
        *((name, ctypes.c_double) for name in ("eps", "gate")),
        *((name, ctypes.c_void_p) for name in ("weight", "z", "moments", "factors", "sums")),
        ("grad_weight", ctypes.c_void_p),
    )


class _Edge(ctypes.Structure):
    """See `Edge` in dense.hpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("first", "count", "skips", "pools")),
        *((name, ctypes.c_double) for name in ("skip", "pool")),
        *((name, ctypes.c_void_p) for name in ("skip_factors", "pool_factors", "before")),
        *((name, ctypes.c_void_p) for name in ("out", "grad", "products")),
    )


class _State(ctypes.Structure):
    """See `State` in dense.hpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "h", "w", "c")),
        *((name, ctypes.c_void_p) for name in ("x", "grad_x", "edges")),
        ("edge_count", ctypes.c_int64),
        ("dense", ctypes.c_void_p),
        ("dense_count", ctypes.c_int64),
    )


@final
class _Forms:
    """What edges are, without tensors that have gradients."""

    def __init__(self, edges: Sequence[Edge], factors: list[Tensor | None]) -> None:
        self.eps = [[dense.eps for dense, _ in edge.dense] for edge in edges]
        self.rest = [(edge.skip is not None, edge.pool is not None) for edge in edges]
        self.factors = factors

    @property
    def count(self) -> int:
        """Number of convolutions."""
        return sum(map(len, self.eps))


@final
class _Calls:
    """The structures of one state, filled in as passes need it."""

    def __init__(self, x: Tensor, forms: _Forms, gates: Tensor, weights: Sequence[Tensor]) -> None:
        n, c, h, w = x.shape
        self.edges, self.dense = (_Edge * len(forms.eps))(), (_Convolution * forms.count)()
        self.state = _State(n, h, w, c, edge_count=len(self.edges), dense_count=forms.count)
        self.state.edges = ctypes.addressof(self.edges)
        self.state.dense = ctypes.addressof(self.dense)
        self.state.x = x.data_ptr()
        self.functions = Functions(x)
        terms, first = zip(gates.tolist(), map(_pointer, forms.factors), strict=True), 0
        for edge, eps, (skips, pools) in zip(self.edges, forms.eps, forms.rest, strict=True):
            edge.first, edge.count, edge.skips, edge.pools = first, len(eps), skips, pools
            for own, one, weight in zip(self.dense[first:], eps, weights[first:], strict=False):
                own.kernel, own.eps, own.weight = weight.shape[-1], one, weight.data_ptr()
                own.gate, own.factors = next(terms)
            if skips:
                edge.skip, edge.skip_factors = next(terms)
            if pools:
                edge.pool, edge.pool_factors = next(terms)
            first += len(eps)

    def give(self, to: Any, name: str, tensors: Iterable[Tensor | None]) -> None:
        """Hand over a tensor to each edge or convolution; None leaves one out."""
        for own, tensor in zip(to, tensors, strict=True):
            setattr(own, name, _pointer(tensor))

    def run(self, name: str) -> None:
        """Call a function."""
        self.functions.call(name, ctypes.byref(self.state))


@final
class _DenseEdges(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gates: Tensor,
        forms: _Forms,
        moments: list[Tensor],
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        x, gates = channels_last(x), gates.detach()
        given, rest = tensors[: len(forms.eps)], tensors[len(forms.eps) :]
        before = [None if one is None else channels_last(one) for one in given]
        weights = [w.detach().contiguous() for w in rest[: forms.count] if w is not None]
        images = [torch.empty_like(x) for _ in weights]
        outputs = tuple(torch.empty_like(x) for _ in forms.eps)
        moments.extend(torch.empty(forms.count, 3, x.shape[1], dtype=torch.float64))
        calls = _Calls(x, forms, gates, weights)
        calls.give(calls.dense, "z", images)
        calls.give(calls.dense, "moments", moments)
        calls.give(calls.edges, "before", before)
        calls.give(calls.edges, "out", outputs)
        calls.run("dense_convolve")
        calls.run("dense_mix")
        ctx.forms, ctx.moments, ctx.biases = forms, list(moments), rest[forms.count :]
        ctx.save_for_backward(x, gates, *images, *rest[: forms.count])
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        (x, gates, *rest), forms = ctx.saved_tensors, ctx.forms
        count, behind = forms.count, [channels_last(grad) for grad in grads]
        # Who keeps tensors for backward may lay them out anew.
        x, images = channels_last(x), [channels_last(image) for image in rest[:count]]
        weights = [w.detach().contiguous() for w in rest[count:]]
        needs_x, needs_gates, _, _, *needs = ctx.needs_input_grad
        needs_weights, needs_biases = needs[len(behind) :][:count], needs[len(behind) + count :]
        calls = _Calls(x, forms, gates, weights)
        sums = torch.empty(count, 2, x.shape[1], dtype=torch.float64)
        products = torch.zeros(len(behind), 2, dtype=torch.float64) if needs_gates else None
        of_weights = [
            torch.empty_like(weight) if need else None
            for weight, need in zip(weights, needs_weights, strict=True)
        ]
        grad_x = torch.empty_like(x) if needs_x else None
        calls.state.grad_x = _pointer(grad_x)
        calls.give(calls.dense, "z", images)
        calls.give(calls.dense, "moments", ctx.moments)
        calls.give(calls.dense, "sums", sums)
        calls.give(calls.dense, "grad_weight", of_weights)
        calls.give(calls.edges, "grad", behind)
        if products is not None:
            calls.give(calls.edges, "products", products)
        calls.run("dense_sums")
        if needs_x or any(needs_weights):
            calls.run("dense_backward")
        of_gates = None if products is None else _gates(forms, sums, products).to(gates.dtype)
        of_biases = [
            torch.zeros_like(bias) if need else None
            for bias, need in zip(ctx.biases, needs_biases, strict=True)
        ]
        of_before = [
            grad if need else None for grad, need in zip(grads, needs[: len(grads)], strict=True)
        ]
        return (grad_x, of_gates, None, None, *of_before, *of_weights, *of_biases)


def _gates(forms: _Forms, sums: Tensor, products: Tensor) -> Tensor:
    """Return the gradients of all gates, in the order of terms."""
    of_dense = sums[:, 1].sum(-1).split_with_sizes([len(eps) for eps in forms.eps])
    found = []
    for first, there, own in zip(of_dense, forms.rest, products, strict=True):
        found += [first, own[[k for k in (0, 1) if there[k]]]]
    return torch.cat(found)


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
