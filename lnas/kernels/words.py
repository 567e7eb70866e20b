"""The cross entropy of a large vocabulary, over the units that dropout leaves each stream.

Where dropout holds for a whole batch (Gal and Ghahramani, 2016), a stream reads the same few rows
of the decoder's matrix at all of its steps. Its scores are made of these rows, and turned into
their gradients and into those of features and matrix, before the next stream's are.
"""

import ctypes

import torch
from torch import Tensor

from lnas.kernels.convolutions import Functions
from lnas.kernels.kept import KeptUnits


class _Words(ctypes.Structure):
    """See `Words` in words.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "streams", "units", "words")),
        ("scale", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("first", "kept", "targets")),
        *((name, ctypes.c_void_p) for name in ("features", "weight", "bias")),
        *((name, ctypes.c_void_p) for name in ("of_features", "of_weight", "of_bias", "losses")),
    )


def kept_word_losses(
    needs: list[bool],
    targets: Tensor,
    mask: Tensor,
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the mean cross entropy (nats) of the scores features @ weight.T + bias.

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
    words = len(weight)
    least, most = (int(end) for end in targets.aminmax())
    if least < 0 or most >= words:
        raise IndexError(f"targets lie between {least} and {most}, and there are {words} words")
    last = torch.ones(len(mask), 1, dtype=torch.bool)
    kept = KeptUnits(torch.cat([mask != 0, last], 1))
    given = [tensor.contiguous() for tensor in (targets, features, weight, bias)]
    of_features = torch.zeros_like(given[1]) if needs[0] else None
    of_weight, of_bias = (
        torch.empty_like(tensor) if needs[1] or needs[2] else None for tensor in given[2:]
    )
    losses = torch.empty(targets.shape, dtype=torch.float64)
    tensors = [kept.first, kept.units, *given, of_features, of_weight, of_bias, losses]
    pointers = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
    call = _Words(*features.shape, words, 1 / targets.numel(), *pointers)
    Functions(features).call("word_losses", ctypes.byref(call))
    grads = [of_features, of_weight, of_bias]
    wanted = [grad if need else None for grad, need in zip(grads, needs, strict=True)]
    return losses.mean().to(features.dtype), wanted
