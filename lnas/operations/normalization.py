"""Batch normalisation whose statistics are a choice of the pass, not of train or eval mode.

A search evaluates its network many times between two weight steps: for the logits, at a virtual
step, on held-out batches. Only the weight step may move the running averages, yet all of these
passes normalise with the batch.

| mode | normalises with | moves the running averages |
|---|---|---|
| `update` | the batch | yes |
| `batch` | the batch | no |
| `running` | the running averages | no |

Deviation from torch: no `num_batches_tracked` (it serves cumulative averages only and costs a
kernel a layer).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from lnas.errors import InputError
from lnas.walking import modules_of

Statistics = Literal["update", "batch", "running"]


class BatchNorm2d(nn.BatchNorm2d):
    """torch's BatchNorm2d with a statistics mode and an optional gate.

    Args:
        channels: Number of channels.
        affine: Learn a scale and a shift per channel.
        eps: Added to the variance.
        momentum: Weight of the new value in the running averages.
    """

    def __init__(
        self, channels: int, affine: bool = True, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__(channels, eps=eps, momentum=momentum, affine=affine)
        self.num_batches_tracked = None
        self.statistics: Statistics | None = None
        self.passes: int | None = None

    @property
    def mode(self) -> Statistics:
        """The mode in force: the one that `statistics` set, else what `training` says."""
        return self.statistics or ("update" if self.training else "running")

    def forward(self, input: Tensor, gate: Tensor | None = None) -> Tensor:
        """Normalise (N, C, H, W); with a gate, return gate * norm(input) at no extra cost.

        Args:
            input: Images, (N, C, H, W).
            gate: Factor of the output, the same number C times, (C,), contiguous: the backward of
                torch 2.14 is wrong for an expanded scale in channels_last.
        """
        scale: Tensor | None = self.weight
        shift: Tensor | None = self.bias
        if gate is not None:
            scale = gate if scale is None else scale * gate
            shift = None if shift is None else shift * gate
        mode = self.mode
        rate = self.next_rate() if mode == "update" else 0.0
        return functional.batch_norm(
            input,
            None if mode == "batch" else self.running_mean,
            None if mode == "batch" else self.running_var,
            scale,
            shift,
            mode != "running",
            rate,
            self.eps,
        )

    def next_rate(self) -> float:
        """Return the weight of the next batch in the running averages; see `plain_averages`."""
        if self.passes is None:
            return self.momentum or 0.0
        self.passes += 1
        return 1 / self.passes

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        """Accept state dicts of torch's BatchNorm2d: their batch counter is dropped."""
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, {**local_metadata, "version": 2}, *rest)


@torch.no_grad()
def move_averages(
    layers: Sequence[BatchNorm2d], means: Sequence[Tensor], variances: Sequence[Tensor]
) -> None:
    """Move the running averages of layers in mode `update` by moments computed elsewhere.

    Args:
        layers: The layers.
        means: Mean of the batch for each, (C,).
        variances: Its unbiased variance for each, (C,).
    """
    moved: dict[float, tuple[list[Tensor], list[Tensor]]] = {}
    for layer, mean, variance in zip(layers, means, variances, strict=True):
        if layer.mode == "update" and layer.running_mean is not None:
            assert layer.running_var is not None
            averages, new = moved.setdefault(layer.next_rate(), ([], []))
            averages += [layer.running_mean, layer.running_var]
            new += [mean, variance]
    for rate, (averages, new) in moved.items():
        torch._foreach_lerp_(averages, new, rate)


@torch.no_grad()
def move_by_moments(
    layers: Sequence[BatchNorm2d],
    moments: Sequence[Tensor],
    examples: int,
    kind: torch.dtype,
    biases: Sequence[Tensor | None] | None = None,
) -> None:
    """Move the running averages of layers in mode `update` by moments that kernels have found.

    Args:
        layers: The layers.
        moments: For each a mean, something, and a biased variance in the first rows, (3 or more,
            C), float64.
        examples: How many values of a channel they are of, 2 or more.
        kind: Of the averages.
        biases: What the input of each layer has on top of what was measured, (C,).
    """
    if not any(layer.mode == "update" for layer in layers):
        return
    found = torch.stack([*moments])[:, :3].to(kind)
    found[:, 2] *= examples / (examples - 1)
    means, _, variances = found.unbind(1)
    pairs = zip(means, biases or [None] * len(layers), strict=True)
    shifted = [mean if bias is None else mean + bias for mean, bias in pairs]
    move_averages(layers, shifted, variances.unbind())


@contextmanager
def plain_averages(network: nn.Module) -> Iterator[None]:
    """Start the running averages anew: within the block, passes in mode `update` make them means.

    The running mean becomes the mean of the batches' means, the running variance that of their
    unbiased variances, each batch with the same weight.

    Args:
        network: Network whose layers are switched.
    """
    layers = [layer for layer in modules_of(network) if isinstance(layer, BatchNorm2d)]
    try:
        for layer in layers:
            layer.passes = 0
        yield
    finally:
        for layer in layers:
            layer.passes = None


@contextmanager
def standing(modes: Sequence[tuple[BatchNorm2d, Statistics]]) -> Iterator[None]:
    """Repeat a pass: within the block layers normalise as they did, and no running average moves.

    Layers in mode `update` still hand their averages to torch, and move them by a weight of 0, so
    that autograd keeps the same tensors as in the first pass.

    Args:
        modes: The layers, and the mode that each was in.
    """
    before = [(layer.statistics, layer.momentum, layer.passes) for layer, _ in modes]
    try:
        for layer, mode in modes:
            layer.statistics, layer.momentum, layer.passes = mode, 0.0, None
        yield
    finally:
        for (layer, _), was in zip(modes, before, strict=True):
            layer.statistics, layer.momentum, layer.passes = was


@contextmanager
def statistics(network: nn.Module, mode: Statistics) -> Iterator[None]:
    """Set the statistics mode of every `BatchNorm2d` in `network`; restore it on the way out.

    Args:
        network: Network whose layers are switched.
        mode: `update`, `batch` or `running`.

    Raises:
        InputError: The mode is unknown.
    """
    if mode not in get_args(Statistics):
        allowed = ", ".join(get_args(Statistics))
        raise InputError(f"unknown statistics mode {mode!r}; choose one of {allowed}")
    layers = [vars(layer) for layer in modules_of(network) if isinstance(layer, BatchNorm2d)]
    before = [layer["statistics"] for layer in layers]  # a module's own way in is many times slower
    try:
        for layer in layers:
            layer["statistics"] = mode
        yield
    finally:
        for layer, previous in zip(layers, before, strict=True):
            layer["statistics"] = previous
