"""Captured passes: the host launches a supernet's forward pass as one, and its backward as one.

On a GPU a search step is thousands of kernels, and small ones end before the host has launched the
next. A CUDA graph launches all of a pass at once, with the same memory and the same kernels: the
images and gates are copied into it, weights and running averages are where they always are. What
the graph cannot know stays outside of it: how gates are drawn, the loss, terms of callbacks, means
over ranks, clipping and optimizers.

A pass is captured when it has come as often as it is to warm up, with the same operations active.
So decisions of a search (closed operations, fixed edges) capture anew, and samples that say which
operations run are never captured. So are passes without gradients and those of the reference path.
"""

import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from lnas.errors import InputError
from lnas.operations import BatchNorm2d
from lnas.relaxations import GateSample
from lnas.supernet.base import Supernet
from lnas.tasks import Output, State
from lnas.walking import parameters_of

NetCall = Callable[[Supernet, Any, GateSample, State], Output]
"""`call(supernet, inputs, sample, state)`: how the supernet of a search is called."""

usual: NetCall = operator.call

WARM = 3
"""How often a pass runs as usual before it is captured."""


class Pass(nn.Module):
    """A supernet as a function of tensors: of images, and of gates and weights of edges.

    Args:
        net: The supernet.
        sample: Names the tables, and says which operations are active.
    """

    def __init__(self, net: Supernet, sample: GateSample) -> None:
        super().__init__()
        self.net, self.training = net, net.training
        self.types, self.active, self.derived = list(sample.gates), sample.active, sample.derived
        self.edges = None if sample.edges is None else list(sample.edges)

    def forward(self, inputs: Tensor, *tables: Tensor) -> Tensor:
        """Return the class scores.

        Raises:
            InputError: The supernet returns more than scores.
        """
        gates = dict(zip(self.types, tables, strict=False))
        edges = None
        if self.edges is not None:
            edges = dict(zip(self.edges, tables[len(gates) :], strict=True))
        output = self.net(inputs, GateSample(gates, self.active, edges, derived=self.derived))
        if any(one is not None for one in (output.auxiliary, output.state, output.activations)):
            raise InputError(
                f"{type(self.net).__name__} returns more than class scores and cannot be captured; "
                "leave CaptureGraphs out."
            )
        scores: Tensor = output.logits
        return scores


def tables_of(sample: GateSample) -> list[Tensor]:
    """Return the tensors that a pass reads besides images, in the order of `Pass.forward`."""
    return [*sample.gates.values(), *(sample.edges or {}).values()]


@dataclass
class _Known:
    """A kind of pass, and how it was the last time."""

    state: Hashable = None
    times: int = 0
    captured: Callable[..., Tensor] | None = None


@final
class CapturedCalls:
    """Calls a supernet captured; it captures a kind of pass when it has come `WARM` times alike.

    Args:
        capture: Captures a module for arguments like some examples: CUDA's.
    """

    def __init__(self, capture: Callable[..., Any] | None = None) -> None:
        self._capture = capture or _CudaGraphs()
        self._known: dict[Hashable, _Known] = {}

    def __call__(self, net: Supernet, inputs: Any, sample: GateSample, state: State) -> Output:
        """Return the output of the supernet; see `NetCall`."""
        if state is not None or not torch.is_grad_enabled() or net.path != "fused":
            return usual(net, inputs, sample, state)
        weights = parameters_of(net)
        known = self._known.setdefault(_kind(net, inputs, sample, weights), _Known())
        now = _state(net, sample, weights)
        if known.state != now:
            known.state, known.times, known.captured = now, 0, None
        known.times += 1
        if known.times <= WARM:
            return usual(net, inputs, sample, state)
        if known.captured is None:
            known.captured = self._captured(net, inputs, sample)
        # What leaves a graph lies in memory of its own: the next pass writes there.
        tables = [_with_own_gradient(table) for table in tables_of(sample)]
        return Output(known.captured(inputs, *tables).clone())

    def __reduce__(self) -> tuple[type["CapturedCalls"], tuple[()]]:
        """A copied search has passes of its own to capture."""
        return CapturedCalls, ()

    def _captured(self, net: Supernet, inputs: Tensor, sample: GateSample) -> Callable[..., Tensor]:
        """Capture a pass; running averages are left as they are, although it runs for that."""
        before = [(buffer, buffer.clone()) for buffer in net.buffers()]
        examples = [
            one.detach().clone().requires_grad_(one.requires_grad)
            for one in (inputs, *tables_of(sample))
        ]
        made: Callable[..., Tensor] = self._capture(Pass(net, sample), tuple(examples))
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
        return made


@final
class _CudaGraphs:
    """Captures into one pool of memory: passes run one after the other, never at once."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, module: Pass, examples: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        halved = torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda")
        # Weights in half precision are made of those of each step, not of what is kept of now.
        torch.clear_autocast_cache()
        with torch.cuda.device(examples[0].device), torch.autocast("cuda", *halved, False):
            made: Any = torch.cuda.make_graphed_callables(
                module, examples, allow_unused_input=True, pool=self._pool
            )
        return cast(Callable[..., Tensor], made)


def _with_own_gradient(table: Tensor) -> Tensor:
    if not table.requires_grad:
        return table
    table = table.view_as(table)
    table.register_hook(torch.clone)  # type: ignore[no-untyped-call]  # torch's own
    return table


def _kind(net: Supernet, inputs: Tensor, sample: GateSample, weights: Sequence[Tensor]) -> Hashable:
    """Return what tells kinds of passes apart that come in turn."""
    mode = next((one.mode for one in net.modules() if isinstance(one, BatchNorm2d)), None)
    given = [(one.shape, one.dtype, one.requires_grad) for one in (inputs, *tables_of(sample))]
    wanted = any(one.requires_grad for one in weights)
    return mode, tuple(given), tuple(sample.gates), tuple(sample.edges or ()), wanted


def _state(net: Supernet, sample: GateSample, weights: Sequence[Tensor]) -> Hashable:
    """Return what a captured pass holds for good."""
    active = sample.active or {}
    masks = tuple((name, tuple(mask.flatten().tolist())) for name, mask in active.items())
    wanted = tuple((id(one), one.requires_grad) for one in weights)
    return masks, sample.derived, net.training, wanted
