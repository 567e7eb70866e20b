"""Clock: a search strategy that steps every way in turn, and takes the time.

The ways are interleaved in one process, so that whatever else the machine does slows them alike;
what is worth reading is their ratio. The oracle is what public implementations do: one operation
of one edge at a time, (N, C, H, W) in memory, all gradients in every pass, of which each step
throws half away. The fused ways compute the same numbers.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import final

import torch
from torch import Tensor
from torch.optim import Optimizer

from lnas import kernels
from lnas.search import SearchModule, SearchStep, SearchStrategy, SecondOrder
from lnas.search.strategies import architecture_step, weight_step
from lnas.search.streams import ArchitectureStream
from lnas.speed.launches import Launches
from lnas.supernet.base import Path
from lnas.supernet.batched import edge_batching
from lnas.supernet.compiling import CompiledCells
from lnas.tasks import Batch

ORACLE, FUSED, COMPILED, BATCHED = "oracle", "fused", "compiled", "as on a GPU"
CELLS = "torch.compile"
FORWARD, WEIGHTS, ARCHITECTURE, SECOND = (
    "forward",
    "weight step",
    "architecture step",
    "second order",
)
BOTH = "both steps"


@dataclass
class Work:
    """What one pass costs besides time.

    Args:
        launches: Calls of torch's operators, see `Launches`, and of compiled kernels.
        kept: Bytes that are kept for the backward pass, each memory counted once, weights left out.
    """

    launches: int
    kept: int


@dataclass
class Timing:
    """Seconds of one kind of pass, by way and round."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, way: str) -> float:
        """Return the median over rounds."""
        return median(self.seconds[way])

    def ratios(self, way: str) -> tuple[float, float, float]:
        """Return how many times faster than the oracle: median, smallest and largest of rounds."""
        pairs = zip(self.seconds[ORACLE], self.seconds[way], strict=True)
        rounds = [oracle / own for oracle, own in pairs]
        return self.median(ORACLE) / self.median(way), min(rounds), max(rounds)


def ways() -> list[str]:
    """Return the ways through the supernet that this machine has, the oracle first."""
    return [ORACLE, FUSED, *([COMPILED] if kernels.available() else [])]


@final
class Clock(SearchStrategy):
    """Times all passes of a batch every way; its first batch warms up and counts instead.

    Args:
        moves: Whether the architecture is stepped, too.
        reads: Whether its steps have batches of their own, as those of second order must.
        cells: Whether both steps are also timed with cells that torch.compile compiles.

    Attributes:
        timings: By kind of pass.
        work: By kind of pass and way; on a CPU also of the way that a GPU would take.
    """

    def __init__(self, moves: bool = True, reads: bool = True, cells: bool = False) -> None:
        self.reads_architecture_stream, self.moves_architecture = reads, moves
        self.timings: dict[str, Timing] = {}
        self.work: dict[str, dict[str, Work]] = {}
        self.kinds = [FORWARD, WEIGHTS, *([ARCHITECTURE, SECOND] if moves and reads else [])]
        self._second = SecondOrder()
        self._cells = CompiledCells() if cells else None

    def step(self, module: SearchModule, batch: Batch, step: SearchStep) -> None:
        """Run every kind of pass every way."""
        # Steps of rate 0 cost the same, and many on one batch lead nowhere.
        for group in (group for one in module.trainer.optimizers for group in one.param_groups):
            group["lr"] = 0.0
        with _one_architecture_batch(module):
            self._turns(module, batch, step)

    def _turns(self, module: SearchModule, batch: Batch, step: SearchStep) -> None:
        warm = bool(self.work)
        both: dict[str, float] = {}
        # Batched edges are slow on a CPU, which can count all the same what a GPU would launch.
        counted = [BATCHED] if module.device.type == "cpu" and not warm else []
        for kind in self.kinds:
            of_cells = [CELLS] if self._cells and kind in (WEIGHTS, ARCHITECTURE) else []
            for way in [*ways(), *of_cells, *counted]:
                with self._taken(way, module):
                    if not warm:
                        self._run(kind, way, module, batch, step)
                        if way == CELLS:  # what counts would be compiled with it
                            continue
                        with _counted(module.trainer.optimizers) as work:
                            self._run(kind, way, module, batch, step)
                        self.work.setdefault(kind, {})[way] = work
                        continue
                    seconds = self._run(kind, way, module, batch, step)
                self._add(kind, way, seconds)
                if kind in (WEIGHTS, ARCHITECTURE):
                    both[way] = both.get(way, 0.0) + seconds
        for way, seconds in both.items():
            self._add(BOTH, way, seconds)

    @contextmanager
    def _taken(self, way: str, module: SearchModule) -> Iterator[None]:
        supernet = module.supernet
        path: Path = "reference" if way == ORACLE else "fused"
        compiled = nullcontext() if way in (ORACLE, COMPILED) else kernels.disabled()
        batched = edge_batching(True) if way == BATCHED else nullcontext()
        usual = supernet.cell_call
        try:
            if way == CELLS and self._cells:
                supernet.cell_call = self._cells
            with supernet.using(path), compiled, batched:
                yield
        finally:
            supernet.cell_call = usual

    def _add(self, kind: str, way: str, seconds: float) -> None:
        self.timings.setdefault(kind, Timing()).seconds.setdefault(way, []).append(seconds)

    def _run(
        self, kind: str, way: str, module: SearchModule, batch: Batch, step: SearchStep
    ) -> float:
        _wait(module)
        start = time.perf_counter()
        if kind == FORWARD:
            with torch.no_grad():
                sample = module.architecture.noise_free()
                module.run(batch, "held_out", sample, state=step.states.get("weights"))
        elif kind == WEIGHTS and way != ORACLE:
            weight_step(module, batch, step)
        elif kind == ARCHITECTURE and way != ORACLE:
            architecture_step(module, step)
        elif kind == SECOND:
            self._second.architecture_step(module, batch, step)
        else:
            _as_published(kind, module, batch, step)
        _wait(module)
        return time.perf_counter() - start


class _OneBatch(ArchitectureStream):
    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def next(self) -> Batch:
        return self._batch


@contextmanager
def _one_architecture_batch(module: SearchModule) -> Iterator[None]:
    """Have all architecture steps take the same batch: to read it is no part of a step."""
    stream = module.stream
    if stream is not None:
        module.stream = _OneBatch(stream.next())
    try:
        yield
    finally:
        module.stream = stream


def _as_published(kind: str, module: SearchModule, batch: Batch, step: SearchStep) -> None:
    """Step with all gradients, of weights and architecture, whichever is stepped."""
    weights = kind == WEIGHTS
    step.role = "weights" if weights else "architecture"
    step.sample = module.sample(step.role)
    given = batch if weights else module.architecture_batch()
    module.manual_backward(module.loss(given, step, "update"))
    if weights:
        module.step_weights()
    else:
        module.step_architecture()
    for parameter in module.parameters():
        parameter.grad = None


def _wait(module: SearchModule) -> None:
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)


@contextmanager
def _foreach(optimizers: list[Optimizer]) -> Iterator[None]:
    """Step all parameters by one call each operator, as optimizers do by themselves on GPUs."""
    groups = [group for one in optimizers for group in one.param_groups if "foreach" in group]
    groups = [group for group in groups if group["foreach"] is None and not group.get("fused")]
    try:
        for group in groups:
            group["foreach"] = True
        yield
    finally:
        for group in groups:
            group["foreach"] = None


@contextmanager
def _counted(optimizers: list[Optimizer]) -> Iterator[Work]:
    work, seen = Work(0, 0), set[int]()

    def pack(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and place.data_ptr() not in seen:
            seen.add(place.data_ptr())
            work.kept += place.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    before = kernels.calls()
    with hooks, Launches() as launches, _foreach(optimizers):
        yield work
    work.launches = launches.count + kernels.calls() - before
