"""Which convolutions the compiled kernels can do, of searched and derived cells, and how."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from lnas import kernels
from lnas.operations import BatchNorm2d
from lnas.operations.convolutional import DilatedConv, SeparableConv
from lnas.operations.normalization import move_by_moments


class Compiled:
    """The compiled kernels, for states of one kind.

    Args:
        like: A state of the cell.
        channels: How many of its channels the operations read.
    """

    def __init__(self, like: Tensor, channels: int) -> None:
        self.there = kernels.supports(like, channels)
        self.kind = like.dtype

    def knows(self, kind: str, operation: nn.Module) -> bool:
        """Whether an operation can be handed over.

        Args:
            kind: How the fused path computes it.
            operation: Its module.
        """
        if not self.there or kind not in ("separable", "dilated"):
            return False
        assert isinstance(operation, SeparableConv | DilatedConv)
        fits = operation.kernel in (3, 5) and operation.pw1.weight.dtype == self.kind
        return fits and all(norm.mode != "running" for norm in _norms(operation))

    def __call__(
        self,
        x: Tensor,
        operations: Sequence[nn.Module],
        gates: Sequence[Tensor],
        factors: Sequence[Tensor] | None,
    ) -> Tensor:
        """Return the weighted sum of operations of one edge, and move their running averages.

        Args:
            x: The state that the edge reads, (N, C, H, W).
            operations: What `knows` accepted.
            gates: A scalar for each.
            factors: For each, factors of the images, (N,).
        """
        known = [cast(SeparableConv | DilatedConv, operation) for operation in operations]
        blocks = [_blocks(operation) for operation in known]
        output, moments = kernels.mixed_convolutions(x, blocks, gates, factors)
        norms = [norm for operation in known for norm in _norms(operation)]
        found = [part for own in moments for part in own]
        move_by_moments(norms, found, output.numel() // output.shape[1], x.dtype)
        return output


def _norms(operation: SeparableConv | DilatedConv) -> list[BatchNorm2d]:
    if isinstance(operation, DilatedConv):
        return [operation.bn1]
    return [operation.bn1, operation.bn2]


def _blocks(operation: SeparableConv | DilatedConv) -> list[kernels.Block]:
    dilation = 2 if isinstance(operation, DilatedConv) else 1
    halves = [(operation.dw1, operation.pw1, operation.bn1, operation.stride, dilation)]
    if isinstance(operation, SeparableConv):
        halves.append((operation.dw2, operation.pw2, operation.bn2, 1, 1))
    return [
        kernels.Block(dw.weight, pw.weight, bn.eps, stride, dilation, bn.weight, bn.bias)
        for dw, pw, bn, stride, dilation in halves
    ]
