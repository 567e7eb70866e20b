"""The steps of a recurrent cell, from the products of its inputs to its hidden states, and back.

Of an edge from the state s, with the gates g_k of its activations, their sum g, and the products c
and h of the state and the edge's matrix,

    edge(s) = g s + sigmoid(c) (sum_k g_k f_k(h) - g s)

(Liu et al., arXiv:1806.09055, appendix A.1.2). Backward, gates, curves and slopes are found again
from c and h, which the gradients replace; so an edge keeps two numbers for each unit. The matrices
are far larger than the rows of a step and the same in all steps: they are laid out once as products
read them.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lnas.kernels.convolutions import Functions
from lnas.kernels.room import Room

CURVES = ("tanh", "relu", "sigmoid", "identity")
MULTIPLE = 48  # of columns, so that panels of every kind fit in


class _Source(ctypes.Structure):
    """See `Source` in recurrent.cpp."""

    _fields_ = (
        ("edges", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("targets", "weights", "matrix", "transpose")),
        *((name, ctypes.c_void_p) for name in ("inputs", "pairs", "products")),
    )


class _Cell(ctypes.Structure):
    """See `Cell` in recurrent.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "kept", "streams", "units", "states")),
        *((name, ctypes.c_void_p) for name in ("sources", "mask", "shares")),
        ("norm", ctypes.c_int64),
        ("eps", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("mean", "scale", "means", "variances")),
        *((name, ctypes.c_void_p) for name in ("projected", "hidden", "values", "output")),
        *((name, ctypes.c_void_p) for name in ("of_output", "of_values", "of_hidden")),
    )


@final
class LeavingEdges:
    """The edges that leave one state.

    Args:
        targets: The state that each edge enters.
        weights: The gates of the curves of `CURVES`, and their sum, (edges, 5).
        matrix: All gates, then all candidates, (units, 2 * edges * units); what is done to it later
            does not count.
        inputs: Room for what the edges read, (kept, streams, units).
        pairs: Room for gates and candidates, (kept, streams, 2, edges, units); backward, gradients.
        learns: There will be a backward.
        learns_gates: It is to find the gradients of the gates.
        room: Holds the matrix as products read it.

    Attributes:
        products: Gradients of `weights`, summed up over all steps, for each stream; (streams,
            edges, 5), float64; None where they are not asked for.
    """

    def __init__(
        self,
        targets: Sequence[int],
        weights: Tensor,
        matrix: Tensor,
        inputs: Tensor,
        pairs: Tensor,
        learns: bool,
        learns_gates: bool,
        room: Room,
    ) -> None:
        self.targets = torch.tensor(targets)
        self.weights, self.inputs, self.pairs = weights.detach().contiguous(), inputs, pairs
        self.matrix = _laid_out(matrix, room)
        self.transpose = _laid_out(matrix.t(), room) if learns else None
        shape = pairs.shape[1], len(targets), len(CURVES) + 1
        self.products = torch.zeros(shape, dtype=torch.float64) if learns_gates else None

    def call(self) -> _Source:
        """Return what the compiled functions know of the edges."""
        matrices, kept = (self.matrix, self.transpose), (self.inputs, self.pairs, self.products)
        tensors = self.targets, self.weights, *matrices, *kept
        return _Source(len(self.targets), *map(_pointer, tensors))


@final
@dataclass(frozen=True)
class StateNorm:
    """How all states are normalised: with given statistics, or with those of the streams.

    Args:
        eps: Added to variances.
        scale: (units,); or room for those of the streams, (steps * states, units).
        mean: (units,), if it is given.
        means: Room for those of the streams, (steps * states, units).
        variances: Likewise; unbiased.
    """

    eps: float
    scale: Tensor
    mean: Tensor | None = None
    means: Tensor | None = None
    variances: Tensor | None = None


@final
class RecurrentSteps:
    """A cell on a sequence. All tensors are contiguous and of one kind, see `readable`.

    Args:
        sources: The edges that leave the hidden state before a step, one to the first state, and
            those that leave each state but the last; None: nothing reads it.
        mask: Factors of what the edges read, (streams, units).
        shares: Of each state in the hidden state, (states,).
        norm: Of the states.
        values: Room for the states, (kept, states, streams, units): of all steps where there will
            be a backward.
    """

    def __init__(
        self,
        sources: Sequence[LeavingEdges | None],
        mask: Tensor | None,
        shares: Tensor,
        norm: StateNorm | None,
        values: Tensor,
    ) -> None:
        calls = [_Source() if source is None else source.call() for source in sources]
        self.sources = (_Source * len(calls))(*calls)
        self.norm, self.values, self.shares = norm, values, shares.contiguous()
        self.mask = None if mask is None else mask.contiguous()
        self.held = sources  # their memory must live on

    def forward(self, projected: Tensor, hidden: Tensor, output: Tensor) -> None:
        """Run over a sequence.

        Args:
            projected: To be added to the products of the first source, (steps, streams, 2 * units).
            hidden: Hidden state before, (streams, units).
            output: Room for the hidden states, (steps, streams, units).
        """
        self._call("recurrent_forward", output, projected.contiguous(), hidden, output)

    def backward(self, of_output: Tensor, hidden: Tensor, output: Tensor) -> Tensor:
        """Return the gradient of the hidden state before; turn all `pairs` into their gradients."""
        of_values, of_hidden = torch.empty_like(self.values[0]), torch.zeros_like(hidden)
        back = of_output.contiguous(), of_values, of_hidden
        self._call("recurrent_backward", output, None, hidden, output, *back)
        return of_hidden

    def _call(self, name: str, like: Tensor, *given: Tensor | None) -> None:
        steps, norm = len(like), self.norm
        kept, states, streams, units = self.values.shape
        kind = 0 if norm is None else 1 if norm.mean is not None else 2
        tables = () if norm is None else (norm.mean, norm.scale, norm.means, norm.variances)
        found = [_pointer(table) for table in tables] or [None] * 4
        projected, hidden, output, *back = given
        call = _Cell(
            *(steps, kept, streams, units, states),
            *(ctypes.cast(self.sources, ctypes.c_void_p), _pointer(self.mask)),
            *(_pointer(self.shares), kind, 0.0 if norm is None else norm.eps, *found),
            *map(_pointer, (projected, hidden, self.values, output, *back)),
        )
        Functions(like).call(name, ctypes.byref(call))


def _laid_out(matrix: Tensor, room: Room) -> Tensor:
    inner, columns = matrix.shape
    panels = room.empty(matrix, inner, -(-columns // MULTIPLE) * MULTIPLE)
    sizes = (ctypes.c_int64(size) for size in (*matrix.shape, *matrix.stride()))
    given, to = (ctypes.c_void_p(each.data_ptr()) for each in (matrix, panels))
    Functions(matrix).call("panels_pack", given, *sizes, to)
    return panels


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
