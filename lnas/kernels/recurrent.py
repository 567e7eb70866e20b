"""What is done number by number on the edges of a recurrent cell, in one reading of their products.

Of an edge from the state s, with the gates g_k of its activations, their sum g, and the products c
and h of the state and the edge's matrix,

    edge(s) = g s + sigmoid(c) (sum_k g_k f_k(h) - g s)

(Liu et al., arXiv:1806.09055, appendix A.1.2). Backward, gates, curves and slopes are found again
from c and h, which the gradients replace; so an edge keeps two numbers for each unit.
"""

import ctypes
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from lnas.kernels.convolutions import Functions

CURVES = ("tanh", "relu", "sigmoid", "identity")


class _Leaving(ctypes.Structure):
    """See `Leaving` in recurrent.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("streams", "edges", "units", "by_node", "by_stream")),
        *((name, ctypes.c_void_p) for name in ("targets", "weights", "state", "pairs", "sums")),
        *((name, ctypes.c_void_p) for name in ("of_state", "products")),
    )


@final
class LeavingEdges:
    """The edges that leave one state.

    Args:
        targets: The node that each edge enters.
        weights: The gates of the curves of `CURVES`, and their sum, (edges, 5).
        streams: Number of texts side by side.
        learns_gates: Backward is to find the gradients of the gates.

    Attributes:
        products: Gradients of `weights`, summed up over all steps, for each stream; (streams,
            edges, 5), float64; None where they are not asked for.
    """

    def __init__(
        self, targets: Sequence[int], weights: Tensor, streams: int, learns_gates: bool
    ) -> None:
        self.targets = torch.tensor(targets)
        self.weights = weights.detach().contiguous()
        shape = streams, len(targets), 5
        self.products = torch.zeros(shape, dtype=torch.float64) if learns_gates else None
        self.functions = Functions(weights)

    def read(self, pairs: Tensor, state: Tensor, sums: Tensor) -> None:
        """Add what the edges bring to their nodes.

        Args:
            pairs: Products of gate and candidate, (streams, 2, edges, units).
            state: (streams, units).
            sums: What the nodes hold, (nodes, streams, units).
        """
        self._call("recurrent_read", pairs, state, sums)

    def learn(self, pairs: Tensor, state: Tensor, of_sums: Tensor, of_state: Tensor) -> None:
        """Turn the products into their gradients; add to those of the state and of the weights.

        Args:
            pairs: See `read`.
            state: See `read`.
            of_sums: Gradients of the nodes' sums, (nodes, streams, units).
            of_state: Gradient of the state, (streams, units), so far.
        """
        self._call("recurrent_learn", pairs, state, of_sums, of_state, self.products)

    def _call(
        self, name: str, pairs: Tensor, state: Tensor, sums: Tensor, *others: Tensor | None
    ) -> None:
        streams, _, edges, units = pairs.shape
        tensors = (self.targets, self.weights, state.contiguous(), pairs, sums, *others)
        given = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
        call = _Leaving(streams, edges, units, *sums.stride()[:2], *given)
        self.functions.call(name, ctypes.byref(call))
