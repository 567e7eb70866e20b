"""How many kernels a pass launches: speed that a test can hold without a clock.

Bounds have a tenth of room for other releases of torch; whoever lowers a count lowers its bound.
"""

from collections import Counter

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from lnas import kernels
from lnas.operations import statistics
from lnas.relaxations import GateSample, Softmax
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import Architecture, ConvolutionalSupernet, NasBench201Supernet


class Count(TorchDispatchMode):
    """Counts the operators that reach the kernels, views left out."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view:
            self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def torch_operators():
    """What compiled kernels do is no launch of torch's; GPUs have none of them either."""
    with kernels.disabled():
        yield


def count(net, path, role, active=None):
    net.path = path
    net.requires_grad_(role == "weights")
    shape = len(net.space.edges), len(net.space.operations)
    gates = {name: torch.full(shape, 0.1) for name in net.space.cell_types}
    for value in gates.values():
        value.requires_grad_(role == "architecture")
    mode = "update" if role == "weights" else "batch"
    with Count() as counter, statistics(net, mode):
        logits = net(torch.randn(2, 3, 8, 8), GateSample(gates, active)).logits
        functional.cross_entropy(logits, torch.zeros(2, dtype=torch.long)).backward()
    return counter.calls


@pytest.fixture(scope="module")
def darts():
    return ConvolutionalSupernet(DartsSpace(), channels=4, layers=4)


@pytest.fixture(scope="module")
def nasbench201():
    return NasBench201Supernet(NasBench201Space(), channels=4, cells=1)


def test_each_state_is_pooled_and_rectified_once(darts):
    calls = count(darts, "fused", "weights")
    cells, sources = 4, 5  # two inputs and the first three nodes are read
    assert calls["max_pool2d_with_indices"] == cells * sources
    assert calls["avg_pool2d"] == cells * sources
    edges = 14
    # One ReLU a source, one within each of two separable convolutions an edge, two preprocesses.
    assert calls["relu"] + calls["relu_"] == cells * (sources + 2 * edges + 2)


def test_nothing_is_multiplied_by_a_gate(darts):
    fused, reference = (count(darts, path, "weights") for path in ("fused", "reference"))
    assert reference["mul"] > 4 * 14 * 7
    assert fused["mul"] < reference["mul"] / 2


def test_an_architecture_pass_computes_no_weight_gradient_of_depthwise_kernels(darts):
    weights, architecture = (count(darts, "fused", role) for role in ("weights", "architecture"))
    assert architecture["convolution_backward"] < weights["convolution_backward"] / 2
    assert not count(darts, "fused", "weights")["dot"]
    assert architecture["dot"]


def test_dense_convolutions_of_a_state_are_one(nasbench201):
    calls = count(nasbench201, "fused", "weights")
    cells, sources, kernels = 3, 3, 2
    # With the stem and two residual blocks of three convolutions.
    assert calls["convolution"] == cells * sources * kernels + 7
    assert calls["avg_pool2d"] == cells * sources + 2


def test_inactive_operations_launch_nothing(darts):
    only_skips = torch.zeros(14, 8, dtype=torch.bool)
    only_skips[:, darts.space.operations.index("skip_connect")] = True
    active = {name: only_skips for name in darts.space.cell_types}
    calls = count(darts, "fused", "weights", active)
    assert not calls["max_pool2d_with_indices"]
    reductions = 2
    # Stem, preprocesses (two after a reduction have two convolutions), strided skips (8 edges).
    assert calls["convolution"] == 1 + (4 * 2 + 2) + reductions * 8 * 2


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_pruned_operations_take_their_launches_with_them(darts, path):
    random = torch.Generator().manual_seed(0)
    architecture = Architecture(darts.space, Softmax())
    closed = {name: torch.rand(14, 8, generator=random) < 0.6 for name in darts.space.cell_types}
    architecture.close_all(closed)
    darts.path = path
    with Count() as counter, torch.no_grad():
        darts(torch.randn(2, 3, 8, 8), architecture.sample())
    each = {"sep_conv_3x3": 4, "sep_conv_5x5": 4, "dil_conv_3x3": 2, "dil_conv_5x5": 2}
    convolutions = 1 + 4 * 2 + 2  # stem, preprocesses
    for kind in darts.cell_types_of_cells:
        for row, column in (~closed[kind]).nonzero().tolist():
            name = darts.space.operations[column]
            strided = kind == "reduce" and darts.space.edges[row].source < 2
            convolutions += each.get(name, 2 * (name == "skip_connect" and strided))
    assert counter.calls["convolution"] == convolutions
    total = [
        sum(count(darts, path, "weights", active).values())
        for active in (architecture.sample().active, None)
    ]
    assert 0.35 < total[0] / total[1] < 0.5  # 2 of 5 operations, stem, preprocesses, classifier


@pytest.mark.parametrize(
    ("name", "role", "most"),
    [
        ("darts", "weights", 8500),
        ("darts", "architecture", 5600),
        ("nasbench201", "weights", 760),
        ("nasbench201", "architecture", 680),
    ],
)
def test_launches_stay_below_their_bound(name, role, most, request):
    net = request.getfixturevalue(name)
    assert sum(count(net, "fused", role).values()) <= most
