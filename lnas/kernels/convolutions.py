"""The separable and dilated convolutions of one edge as one autograd function.

    edge(x) = sum_k gate[k] * operation_k(x),  operation_k = block(... block(x)),
    block(x) = normalise(pointwise(depthwise(relu(x))))

with the statistics of the batch; without scale and shift in the search networks of DARTS (Liu et
al., ICLR 2019, arXiv:1806.09055), with them in derived ones. Forward, a block reads x and writes
the pointwise result z; its normalisation and the ReLU behind it are done where z is read next.
Backward, what is between is computed again in the cache. So an operation keeps one image per block,
where a chain of torch's operators keeps five. Gates are factors of the last normalisation; the
gradients of images and matrices are computed only where they are asked for.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from lnas.errors import NO_SECOND_DERIVATIVE, InputError
from lnas.kernels.blocks import Block, Call, Form, Pass, Weights
from lnas.kernels.build import loaded, readable


def supports(like: Tensor, channels: int) -> bool:
    """Whether the kernels are there for images of so many channels, else like those of `like`.

    They leave to torch what has one value per channel, at half its size, which no statistics can be
    made of; see also `readable`.
    """
    n, _, h, w = like.shape
    return (
        readable(like)
        and n * -(-h // 2) * -(-w // 2) > 1
        and channels * like.element_size() % 16 == 0
        and not torch.is_autocast_enabled("cpu")
    )


def mixed_convolutions(
    x: Tensor,
    operations: Sequence[Sequence[Block]],
    gates: Sequence[Tensor],
    factors: Sequence[Tensor] | None = None,
) -> tuple[Tensor, list[list[Tensor]]]:
    """Return sum_k factors[k] * gates[k] * operations[k](x), and the moments of all blocks.

    Args:
        x: A state, (N, C, H, W), that the kernels support.
        operations: The blocks of each operation.
        gates: A scalar for each operation, ().
        factors: For each operation a factor of each image, (N,); constants.

    Returns:
        The weighted sum, (N, C, H / stride, W / stride), and for each operation and each of its
        blocks mean, 1 / standard deviation and biased variance of each channel, and the slope and
        the offset that normalise it, (5, C), float64.
    """
    forms = [[(b.eps, b.stride, b.dilation) for b in blocks] for blocks in operations]
    weights = [w for blocks in operations for b in blocks for w in b.weights]
    stacked = None if factors is None else torch.stack([f.to(x.dtype) for f in factors])
    moments: list[list[Tensor]] = []
    output: Tensor = _Mixed.apply(x, torch.stack([*gates]), stacked, forms, moments, *weights)
    return output, moments


@final
class _Mixed(torch.autograd.Function):
    """All blocks of one depth run together, so that they share what they read in the cache."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gates: Tensor,
        factors: Tensor | None,
        forms: list[list[Form]],
        moments: list[list[Tensor]],
        *weights: Tensor | None,
    ) -> Tensor:
        x, gates, run = channels_last(x), gates.detach().contiguous(), Functions(x)
        weights = tuple(None if w is None else w.detach().contiguous() for w in weights)
        own_weights = _by_block(weights, forms)
        chains: list[list[Tensor]] = [[] for _ in forms]
        moments.extend([] for _ in forms)
        count = sum(map(len, forms))
        room = iter(torch.empty(count, 5, x.shape[1], dtype=torch.float64))
        for depth in range(max(map(len, forms))):
            passes = []
            for k, blocks in enumerate(forms):
                if depth >= len(blocks):
                    continue
                given, before = (chains[k][-1], moments[k][-1]) if depth else (x, None)
                one = Pass(given, before, own_weights[k][depth], blocks[depth])
                chains[k].append(one.output())
                moments[k].append(next(room))
                one.give(z=chains[k][-1], moments=moments[k][-1])
                passes.append(one)
            run.blocks("blocks_forward", passes)
        ctx.forms, ctx.moments = forms, [list(own) for own in moments]
        ctx.save_for_backward(x, gates, factors, *(z for chain in chains for z in chain), *weights)
        last = [chain[-1] for chain in chains], [own[-1] for own in moments]
        return run.mix(*last, gates, factors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND_DERIVATIVE)
        grad, (x, gates, factors, *rest) = channels_last(grads[0]), ctx.saved_tensors
        forms, moments, run = ctx.forms, ctx.moments, Functions(x)
        (needs_x, needs_gates), wanted = ctx.needs_input_grad[:2], ctx.needs_input_grad[5:]
        x = channels_last(x)  # who keeps tensors for backward may lay them out anew
        images = map(channels_last, rest[: -len(wanted)])
        chains = [[next(images) for _ in blocks] for blocks in forms]
        own_weights = _by_block(rest[-len(wanted) :], forms)
        asked = _by_block(wanted, forms)
        last = [chain[-1] for chain in chains], [own[-1] for own in moments]
        sums = run.sums(grad, *last, factors)
        of_gates = _of_gates(sums, own_weights).to(gates.dtype) if needs_gates else None
        if not needs_x and not any(wanted):
            return (None, of_gates, None, None, None, *(None for _ in wanted))
        grad_x = torch.empty_like(x) if needs_x else None
        behind = [(grad, one) for one in sums]
        of_weights: list[list[Tensor | None]] = [[] for _ in forms]
        written = 0
        for height in range(1, 1 + max(map(len, forms))):
            passes = []
            for k, blocks in enumerate(forms):
                if height > len(blocks):
                    continue
                first, depth = height == len(blocks), len(blocks) - height
                given, before = x, None
                if not first:
                    given, before = chains[k][depth - 1], moments[k][depth - 1]
                weights = own_weights[k][depth]
                one = Pass(given, before, weights, blocks[depth])
                one.give(z=chains[k][depth], moments=moments[k][depth])
                one.give(grad=behind[k][0], sums=behind[k][1])
                own, gate = behind[k][1], 1.0
                if height == 1:
                    one.call.gate = gate = float(gates[k])
                    one.give(factors=None if factors is None else factors[k])
                if first:
                    one.give(grad_x=grad_x)
                    one.call.add, written = written, 1
                else:
                    behind[k] = torch.empty_like(given), torch.empty_like(sums[k])
                    one.give(grad_x=behind[k][0], in_sums=behind[k][1])
                found: list[Tensor | None] = [None] * 4
                if any(asked[k][depth][:2]):
                    found[:2] = torch.empty_like(weights[0]), torch.empty_like(weights[1])
                    one.give(grad_depthwise=found[0], grad_pointwise=found[1])
                if any(asked[k][depth][2:]):  # the sums are of g and of g * normalised
                    found[3], found[2] = (gate * own).to(x.dtype)
                of_weights[k][:0] = found
                passes.append(one)
            run.blocks("blocks_backward", passes)
        return (grad_x, of_gates, None, None, None, *(w for own in of_weights for w in own))


def _by_block(values: Sequence[Any], forms: list[list[Form]]) -> list[list[Any]]:
    """Return the four values of each block, by operation."""
    each = iter(zip(*[iter(values)] * 4, strict=True))
    return [[next(each) for _ in blocks] for blocks in forms]


def _of_gates(sums: Tensor, weights: list[list[Weights]]) -> Tensor:
    """Return the gradients of the gates, (K,): sum of g * (scale * normalised + shift)."""
    last = [blocks[-1] for blocks in weights]
    if all(scale is None and shift is None for _, _, scale, shift in last):
        return sums[:, 1].sum(-1)
    found = []
    for (plain, normalised), (_, _, scale, shift) in zip(sums, last, strict=True):
        total = (normalised if scale is None else scale * normalised).sum()
        found.append(total if shift is None else total + (shift * plain).sum())
    return torch.stack(found)


def calls() -> int:
    """Return how often compiled functions were called in this process."""
    return Functions.calls


class Functions:
    """The compiled functions, for images of one kind."""

    calls = 0

    def __init__(self, x: Tensor) -> None:
        found = loaded()
        if found is None:
            raise InputError("There are no compiled kernels here; see lnas.kernels.available.")
        self.functions, self.kind = found, int(x.dtype == torch.float64)
        self.threads = ctypes.c_int64(torch.get_num_threads())

    def blocks(self, name: str, passes: list[Pass]) -> None:
        """Run blocks that do not need each other."""
        given = (Call * len(passes))(*[one.call for one in passes])
        self.call(name, given, ctypes.c_int64(len(passes)))

    def mix(
        self, images: list[Tensor], moments: list[Tensor], gates: Tensor, factors: Tensor | None
    ) -> Tensor:
        """Return the weighted sum of normalised images, (N, C, H, W)."""
        output = torch.empty_like(images[0])
        given = _pointers(images), _pointers(moments), _pointer(gates)
        self.call("mix", *_sizes(images), *given, _pointer(factors), _pointer(output))
        return output

    def sums(
        self, grad: Tensor, images: list[Tensor], moments: list[Tensor], factors: Tensor | None
    ) -> Tensor:
        """Return for each image the sums of grad and of grad * normalise(image), (K, 2, C)."""
        result = torch.empty(len(images), 2, grad.shape[1], dtype=torch.float64)
        given = _pointer(grad), _pointers(images), _pointers(moments)
        self.call("mix_sums", *_sizes(images), *given, _pointer(factors), _pointer(result))
        return result

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function with what is between the kind of number and the number of threads."""
        getattr(self.functions, name)(self.kind, *arguments, self.threads)
        Functions.calls += 1


def channels_last(x: Tensor) -> Tensor:
    """Return x as the kernels read it, (N, H, W, C) in memory, without its history."""
    return x.detach().contiguous(memory_format=torch.channels_last)


def _sizes(images: list[Tensor]) -> list[ctypes.c_int64]:
    n, c, h, w = images[0].shape
    return [ctypes.c_int64(size) for size in (n, h * w, c, len(images))]


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p | None:
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def _pointers(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*[tensor.data_ptr() for tensor in tensors])
