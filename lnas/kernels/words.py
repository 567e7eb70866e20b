"""The cross entropy of a large vocabulary, over the units that dropout leaves each stream.

Where dropout holds for a whole batch (Gal and Ghahramani, 2016), a stream reads the same few rows
of the decoder's matrix at all of its steps. Its scores are made of these rows, and turned into
their gradients and into those of features and matrix, before the next stream's are.
"""

import ctypes

import torch
from torch import Tensor

from lnas.kernels.convolutions import Functions

MULTIPLE = 32  # of words, so that vectors of every kind fit in


class _Words(ctypes.Structure):
    """See `Words` in words.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "streams", "units", "words")),
        *((name, ctypes.c_void_p) for name in ("first", "kept", "targets", "features", "matrix")),
        *((name, ctypes.c_void_p) for name in ("of_features", "of_matrix", "losses")),
    )


def kept_word_losses(
    needs: list[bool],
    targets: Tensor,
    mask: Tensor,
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the summed cross entropy (nats) of the scores features @ weight.T + bias.

    Args:
        needs: Of which of the last three the gradients are asked for.
        targets: The right words, (steps, streams).
        mask: What is not 0 is a unit that a stream keeps, (streams, units).
        features: (steps, streams, units), see `readable`; 0 where nothing is kept.
        weight: (words, units).
        bias: (words,).

    Returns:
        The loss and its gradients: of features, weight and bias.

    Raises:
        IndexError: A target is no word.
    """
    words, units = weight.shape
    least, most = (int(end) for end in targets.aminmax())
    if least < 0 or most >= words:
        raise IndexError(f"targets lie between {least} and {most}, and there are {words} words")
    matrix = features.new_zeros(units + 1, -(-words // MULTIPLE) * MULTIPLE)
    matrix[:-1, :words] = weight.t()
    matrix[-1, :words] = bias
    matrix[-1, words:] = torch.finfo(matrix.dtype).min / 2  # words that there are not
    last = torch.ones(len(mask), 1, dtype=torch.bool)
    flags = torch.cat([mask != 0, last], 1)
    first = torch.cat([torch.zeros(1, dtype=torch.int64), flags.sum(1).cumsum(0)])
    kept = flags.nonzero()[:, 1].contiguous()
    of_features = torch.zeros_like(features, memory_format=torch.contiguous_format)
    of_matrix = torch.zeros_like(matrix) if needs[1] or needs[2] else None
    losses = torch.empty(targets.shape, dtype=torch.float64)
    tensors = [first, kept, targets.contiguous(), features.contiguous(), matrix]
    asked = [of_features if needs[0] else None, of_matrix, losses]
    pointers = [None if tensor is None else tensor.data_ptr() for tensor in (*tensors, *asked)]
    call = _Words(*features.shape, matrix.shape[1], *pointers)
    Functions(features).call("word_losses", ctypes.byref(call))
    loss = losses.sum().to(features.dtype)
    of_weight = of_bias = None
    if of_matrix is not None:
        of_weight = of_matrix[:-1, :words].t() if needs[1] else None
        of_bias = of_matrix[-1, :words] if needs[2] else None
    return loss, [of_features if needs[0] else None, of_weight, of_bias]
