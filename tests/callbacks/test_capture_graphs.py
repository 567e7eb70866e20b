"""Captured passes: what is captured and when, and that a search goes the same way, bit for bit."""

import copy
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lnas import kernels
from lnas.callbacks import CaptureGraphs, CheckpointCells, FisherSchedule, WiringDiagnostics
from lnas.data import FakeImages, FakeText
from lnas.errors import InputError
from lnas.relaxations import Concrete, HardConcrete, OneHot, Softmax
from lnas.search import FirstOrder, Joint, SearchModule, SecondOrder
from lnas.spaces import DartsSpace, NasBench201Space, RecurrentSpace
from lnas.speed.launches import Launches
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet, RecurrentSupernet
from lnas.supernet.batched import edge_batching
from lnas.supernet.graphs import WARM, CapturedCalls, usual
from lnas.tasks import ImageExamples

BATCHES = 7
ON_CUDA = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")))
WAITS = ("_local_scalar_dense", "equal", "nonzero", "is_nonzero", "item")


class Tape(TorchDispatchMode):
    """Notes operators, their arguments and results."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in WAITS or any(isinstance(one, torch.Generator) for one in kwargs.values()):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        found = func(*args, **kwargs)
        self.notes.append((func, args, kwargs, tensors(found)))
        return found

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, results in self.notes:
            for result, value in zip(results, tensors(func(*args, **kwargs)), strict=True):
                if memory(result) != memory(value):
                    result.detach().copy_(value)


def tensors(tree):
    return [one.detach() for one in tree_leaves(tree) if isinstance(one, torch.Tensor)]


def memory(tensor):
    return tensor.untyped_storage().data_ptr()


def graphed(module, examples):
    """Return `module` as a function of tensors like `examples`, replayed; forward and backward."""
    for _ in range(3):
        _backward(module(*examples), examples, module)
    with Tape() as forward:
        output = module(*examples)
    output_gradient = torch.empty_like(output)
    with Tape() as backward:
        found = _backward(output, examples, module, output_gradient)

    class Graphed(torch.autograd.Function):
        @staticmethod
        def forward(context, *given):
            for example, value in zip(examples, given[: len(examples)], strict=True):
                example.detach().copy_(value)
            forward.replay()
            return output.detach()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, gradient):
            output_gradient.copy_(gradient)
            backward.replay()
            return tuple(None if one is None else one.detach() for one in found)

    return lambda *given: Graphed.apply(*given, *module.parameters())


def _backward(output, examples, module, gradient=None):
    given = [*examples, *module.parameters()]
    wanted = [one for one in given if one.requires_grad]
    gradient = torch.ones_like(output) if gradient is None else gradient
    found = iter(torch.autograd.grad(output, wanted, gradient, allow_unused=True))
    return [next(found) if one.requires_grad else None for one in given]


@pytest.fixture(autouse=True)
def as_on_a_gpu():
    with edge_batching(True), kernels.disabled():
        yield


class Captures:
    """Captures on tape, and counts."""

    def __init__(self):
        self.count = 0

    def __call__(self, module, examples):
        self.count += 1
        return graphed(module, examples)


class Close(Callback):
    """Closes an operation behind a batch."""

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if index == 1:
            module.architecture.close("normal", "2_0", "sep_conv_3x3")


class Called(Callback):
    def __init__(self, calls):
        self.calls = calls

    def setup(self, trainer, module, stage):
        module.supernet_call = self.calls


def searched(trainer, calls, *parts, layers=3, space=None, **options):
    """Return the module after a search of one epoch."""
    space = space or DartsSpace(("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3"), nodes=2)
    supernet = partial(ConvolutionalSupernet, channels=4, layers=layers)
    if isinstance(space, NasBench201Space):
        supernet = partial(NasBench201Supernet, channels=4, cells=1)
    module = SearchModule(space, supernet, examples=ImageExamples(4), **options)
    data = FakeImages(
        images=96, shape=(3, 8, 8), num_classes=4, batch_size=4, held_out=8,
        architecture_fraction=0.5,
    )  # fmt: skip
    parts = [*(part() for part in parts), Called(calls)]
    trainer(*parts, limit_train_batches=BATCHES, loggers=False).fit(module, datamodule=data)
    return module


def assert_same_way(trainer, *parts, strategy=FirstOrder, relaxation=Softmax, **options):
    """Search both ways; return how often passes were captured."""
    captures, found = Captures(), []
    for calls in (usual, CapturedCalls(captures)):
        made = {"strategy": strategy(), "relaxation": relaxation()}
        found.append(searched(trainer, calls, *parts, **made, **options).state_dict())
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name
    return captures.count


@pytest.mark.parametrize(
    ("strategy", "relaxation", "expected"),
    [
        (FirstOrder, Softmax, 2),
        (partial(FirstOrder, "weights_first"), Concrete, 2),
        (Joint, Concrete, 1),
        (FirstOrder, HardConcrete, 2),
        (FirstOrder, partial(OneHot, estimator="gdas"), 0),
    ],
    ids=["darts", "concrete", "snas", "hard concrete", "gdas"],
)
def test_a_search_goes_the_same_way(strategy, relaxation, expected, small_trainer):
    assert assert_same_way(small_trainer, strategy=strategy, relaxation=relaxation) == expected


def test_so_it_does_in_nasbench201_with_weights_of_edges(small_trainer):
    options = {"space": NasBench201Space(), "edge_normalization": True}
    assert assert_same_way(small_trainer, **options) == 2


@pytest.mark.parametrize("part", [FisherSchedule, WiringDiagnostics])
def test_so_it_does_where_callbacks_read_gradients(part, small_trainer):
    assert assert_same_way(small_trainer, part) >= 1


def test_a_decision_captures_anew(small_trainer):
    assert assert_same_way(small_trainer, Close) == 2  # behind the second batch; once each pass
    # Both passes have run plainly twice before the decision and WARM times behind it.
    assert BATCHES > 2 + WARM


class CountLast(Callback):
    """Counts what the last batch launches."""

    def __init__(self):
        self.launches = Launches()

    def on_train_batch_start(self, trainer, module, batch, index):
        if index == BATCHES - 1:
            for optimizer in trainer.optimizers:  # as by themselves on a GPU
                optimizer.param_groups[0]["foreach"] = True
            self.launches.__enter__()

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if index == BATCHES - 1:
            self.launches.__exit__(None, None, None)


def launches(trainer, calls, layers, monkeypatch):
    counter = CountLast()

    def replay(tape, before=Tape.replay):
        known = counter.launches.calls.copy()
        before(tape)
        counter.launches.calls = known + Counter(["replay"])

    with monkeypatch.context() as patched:
        patched.setattr(Tape, "replay", replay)
        searched(trainer, calls, lambda: counter, layers=layers)
    return counter.launches.count


def test_what_a_captured_step_launches_depends_on_no_network(small_trainer, monkeypatch):
    small, large = (
        launches(small_trainer, CapturedCalls(graphed), layers, monkeypatch) for layers in (3, 4)
    )
    assert small == large < 350  # gates, loss, clipping and optimizers of both levels
    assert launches(small_trainer, usual, 4, monkeypatch) > 4 * large


def test_what_waits_for_the_device_within_a_pass_cannot_be_captured(small_module):
    module = small_module()
    inputs, sample = torch.randn(2, 3, 8, 8), module.architecture.noise_free()
    calls = CapturedCalls(graphed)
    module.supernet.stem = torch.nn.Sequential(module.supernet.stem, Waiting())
    for _ in range(WARM):
        calls(module.supernet, inputs, sample, None)
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        calls(module.supernet, inputs, sample, None)


class Waiting(torch.nn.Module):
    def forward(self, x):
        return x if x.sum().item() > 0 else x.neg()


def test_more_than_scores_cannot_be_captured(small_module):
    module = small_module()
    net, sample = module.supernet, module.architecture.noise_free()
    forward = net.forward
    net.forward = lambda *given: replace(forward(*given), auxiliary=torch.zeros(2, 4))
    calls = CapturedCalls(graphed)
    for _ in range(WARM):
        calls(net, torch.randn(2, 3, 8, 8), sample, None)
    with pytest.raises(InputError, match="returns more than class scores"):
        calls(net, torch.randn(2, 3, 8, 8), sample, None)


def test_passes_without_gradients_and_of_the_reference_path_are_never_captured(small_module):
    module, captures = small_module(), Captures()
    net, sample, calls = module.supernet, module.architecture.noise_free(), CapturedCalls(captures)
    for _ in range(WARM + 1):
        with torch.no_grad():
            calls(net, torch.randn(2, 3, 8, 8), sample, None)
        with net.using("reference"):
            calls(net, torch.randn(2, 3, 8, 8), sample, None)
    assert captures.count == 0


def test_a_fit_captures_and_the_next_does_not(small_module):
    part, module, trainer = CaptureGraphs(), small_module(), ON_CUDA
    part.setup(trainer, module, "fit")
    assert module.supernet_call is part.calls
    assert list(module.state_dict()) == list(small_module().state_dict())
    assert copy.deepcopy(module).supernet_call is not part.calls
    part.on_train_start(trainer, module)
    part.teardown(trainer, module, "fit")
    assert module.supernet_call is usual


def test_what_cannot_be_captured_is_refused_before_the_search(small_trainer, small_module):
    with pytest.raises(InputError, match="needs a CUDA device, and the search runs on cpu"):
        CaptureGraphs().setup(small_trainer(), small_module(), "fit")
    trainer, space = ON_CUDA, NasBench201Space()
    dropping = partial(NasBench201Supernet, channels=4, cells=1, drop_path=0.1)
    texts = partial(RecurrentSupernet, units=4)
    for module, reason in (
        (SearchModule(space, dropping, strategy=SecondOrder()), "under virtual weights"),
        (SearchModule(space, dropping), "dropped paths"),
        (SearchModule(RecurrentSpace(nodes=2), texts, examples=FakeText().examples), "is none"),
    ):
        with pytest.raises(InputError, match=f"CaptureGraphs .*{reason}.*leave it out"):
            CaptureGraphs().setup(trainer, module, "fit")
    module = small_module()
    CheckpointCells().setup(trainer, module, "fit")
    with pytest.raises(InputError, match="choose one"):
        CaptureGraphs().on_train_start(trainer, module)
