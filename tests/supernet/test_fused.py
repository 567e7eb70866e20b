"""The fused path equals the reference path: outputs, every gradient, running statistics."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from lnas import operations
from lnas.operations import BatchNorm2d, plain_averages, statistics
from lnas.operations.depthwise import DepthwiseConv2d
from lnas.relaxations import GateSample
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet

NETS = {
    "darts": lambda: ConvolutionalSupernet(DartsSpace(nodes=2), channels=4, layers=3),
    "nasbench201": lambda: NasBench201Supernet(NasBench201Space(), channels=4, cells=1),
    "s1": lambda: ConvolutionalSupernet(DartsSpace(edge_operations="s1"), channels=4, layers=2),
    "s3": lambda: ConvolutionalSupernet(DartsSpace(edge_operations="s3"), channels=4, layers=2),
    "s4": lambda: ConvolutionalSupernet(DartsSpace(edge_operations="s4"), channels=4, layers=2),
}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)


@pytest.fixture
def make(scramble):
    def made(name):
        net = NETS[name]()
        net.set_draw(0, "noise of S4")
        return scramble(net)

    return made


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
@pytest.mark.parametrize("mode", ["update", "batch", "running"])
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"per_cell": True, "masked": True},
        {"edge_weights": True, "masked": True},
        {"per_cell": True, "edge_weights": True},
    ],
    ids=lambda kind: "-".join(kind) or "plain",
)
def test_paths_are_equal(make, name, mode, kind, random_sample, assert_equal_paths):
    net = make(name)
    sample = random_sample(net, 1, **kind)
    assert_equal_paths(net, sample, torch.randn(2, 3, 8, 8), mode)


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_paths_are_equal_in_plain_averages(make, name, random_sample):
    net = make(name)
    sample, batches = random_sample(net, 2, masked=True), torch.randn(3, 2, 3, 8, 8)
    found = []
    for path in ("fused", "reference"):
        net.path = path
        with torch.no_grad(), plain_averages(net), statistics(net, "update"):
            for batch in batches:
                net(batch, sample)
        found.append({key: value.clone() for key, value in net.named_buffers()})
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["s1", "s3", "s4"])
def test_paths_are_equal_for_candidate_sets(make, name, random_sample, assert_equal_paths):
    net = make(name)
    sample = random_sample(net, 1, masked=name == "s1")
    assert_equal_paths(net, sample, torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize("seed", range(8))
def test_paths_are_equal_for_random_masks_and_shapes(make, seed, random_sample, assert_equal_paths):
    net = make(["darts", "nasbench201"][seed % 2])
    sample = random_sample(net, seed, seed % 3 == 0, True, seed % 3 == 1)
    images = torch.randn(3, 3, *[(8, 12), (4, 16)][seed // 2 % 2])
    assert_equal_paths(net, sample, images, ["update", "batch"][seed // 4])


def test_paths_are_equal_on_odd_sides_where_phases_do_not_fit(make):
    cell = make("darts").cells[0]  # a normal cell: nothing is halved
    gates = torch.randn(5, 8).requires_grad_()
    sample = GateSample({"normal": gates})
    x = torch.randn(2, 12, 5, 7)
    results = []
    for path in ("fused", "reference"):
        out = cell(x, x, sample.cell("normal"), path)
        results.append((out, torch.autograd.grad(out.square().sum(), gates)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_paths_are_equal_when_only_some_gradients_are_wanted(
    make, name, random_sample, assert_equal_paths
):
    net = make(name)
    images = torch.randn(2, 3, 8, 8)
    sample = random_sample(net, 3)
    detached = GateSample({kind: gates.detach() for kind, gates in sample.gates.items()})
    everything = assert_equal_paths(net, sample, images)
    weight_pass = assert_equal_paths(net, detached, images)
    net.requires_grad_(False)
    architecture_pass = assert_equal_paths(net, sample, images)
    for found in (weight_pass, architecture_pass):
        for key, grad in found[1].items():
            torch.testing.assert_close(grad, everything[1][key], rtol=1e-9, atol=1e-10)
    assert any(key.startswith("cells") for key in weight_pass[1])
    assert any(key.startswith("gates") for key in architecture_pass[1])


@pytest.mark.parametrize("path", ["fused", "reference"])
@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_inactive_operations_are_left_alone_and_zero_gates_are_not(
    make, name, path, random_sample, run
):
    net = make(name)
    sample = random_sample(net, 5, masked=True)
    kind = net.space.cell_types[0]
    edge, operation, column = {
        "darts": ("3_1", "sep_conv_3x3", 4),
        "nasbench201": ("3_0", "nor_conv_3x3", 3),
    }[name]
    row = net.space.edge_row(edge)
    images = torch.randn(2, 3, 8, 8)

    def look(active):
        sample.active[kind][row] = True
        sample.active[kind][row, column] = active
        with torch.no_grad():
            sample.gates[kind][row, column] = 0.0
        _, grads, buffers = run(net, path, sample, images, "update")
        prefix = f"cells.0.edges.{edge}.{operation}."
        own = [grad for key, grad in grads.items() if key.startswith(prefix)]
        before = dict(net.named_buffers())
        moved = [
            not torch.equal(value, before[key])
            for key, value in buffers.items()
            if key.startswith(prefix)
        ]
        assert own
        assert moved
        return own, moved, grads[f"gates.{kind}"][row, column]

    own, moved, gate = look(active=False)
    assert own == [None] * len(own)
    assert not any(moved)
    assert gate == 0
    own, moved, gate = look(active=True)
    assert all(grad is not None and not grad.any() for grad in own)
    assert all(moved)
    assert gate != 0


class Doubled(nn.Module):
    """An operation that the fused path has never seen, with an average of its own."""

    def __init__(self, channels, stride):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, channels, 1, stride)
        self.bn = BatchNorm2d(channels)

    def forward(self, x):
        return self.bn(self.conv(x.tanh()))


@pytest.fixture
def _doubled(monkeypatch):
    table = dict(operations.table._TABLE)
    monkeypatch.setattr("lnas.operations.table._TABLE", table)
    monkeypatch.setattr("lnas.genotype.vocabulary._added", [])
    operations.register("doubled", lambda channels, stride, *_: Doubled(channels, stride))


@pytest.mark.usefixtures("_doubled")
def test_a_custom_operation_always_works(random_sample, assert_equal_paths):
    space = DartsSpace(["doubled", "skip_connect", "dil_conv_5x5", "conv_7x1_1x7"], nodes=2)
    net = ConvolutionalSupernet(space, channels=4, layers=2)
    sample = random_sample(net, 2, edge_weights=True)
    _, grads, _ = assert_equal_paths(net, sample, torch.randn(2, 3, 8, 8))
    assert grads["cells.0.edges.2_0.doubled.conv.weight"].any()


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_what_was_changed_in_an_operation_is_respected(
    make, name, random_sample, run, assert_equal_paths
):
    net = make(name)
    sample = random_sample(net, 2)
    images = torch.randn(2, 3, 8, 8)
    edge, wanted = ("2_1", "sep_conv_3x3") if name == "darts" else ("2_0", "nor_conv_3x3")
    operation = net.cells[0].edges[edge][wanted]
    with torch.no_grad():
        for gates in sample.gates.values():
            gates[1, net.space.operations.index(wanted)] = 1.0
    plain = run(net, "fused", sample, images)[0]
    operation.bn1 = nn.BatchNorm2d(4)  # another class: no gate
    assert_equal_paths(net, sample, images)
    handle = operation.register_forward_hook(lambda module, inputs, out: 2 * out)
    assert not torch.allclose(assert_equal_paths(net, sample, images)[0], plain)
    handle.remove()
    pool = net.cells[0].edges["2_0"]["avg_pool_3x3"]
    if pool.bn is not None:
        pool.bn = BatchNorm2d(4, affine=True)
        pool.bn.weight.data.normal_()
        pool.bn.bias.data.normal_()
        assert_equal_paths(net, sample, images)


CHANGES = {
    "hook": lambda conv: conv.register_forward_hook(lambda module, inputs, out: out.sin()),
    "hook before": lambda conv: conv.register_forward_pre_hook(
        lambda module, inputs: inputs[0].sin()
    ),
    "padding": lambda conv: setattr(conv, "padding_mode", "reflect"),
    "bias": lambda conv: conv.register_parameter("bias", nn.Parameter(torch.ones(4))),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("name", "edge", "operation", "part"),
    [("darts", "2_1", "sep_conv_3x3", "dw1"), ("nasbench201", "2_0", "nor_conv_3x3", "conv1")],
)
def test_what_was_changed_within_an_operation_is_respected(
    make, name, edge, operation, part, change, random_sample, run, assert_equal_paths
):
    net = make(name)
    sample, images = random_sample(net, 2), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        for gates in sample.gates.values():
            gates[1, net.space.operations.index(operation)] = 1.0
    plain = run(net, "fused", sample, images)[0]
    CHANGES[change](getattr(net.cells[0].edges[edge][operation], part))
    changed = assert_equal_paths(net, sample, images)[0]
    # A normalisation takes a bias away; the running averages, which were compared, have it.
    assert torch.allclose(changed, plain) == (change == "bias")


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


@pytest.mark.parametrize(
    ("operation", "part", "made"),
    [
        ("nor_conv_3x3", "conv1", lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2)),
        ("nor_conv_3x3", "conv1", lambda: nn.Conv2d(4, 4, 3, padding=1, groups=2)),
        ("nor_conv_3x3", "conv1", lambda: nn.Conv2d(4, 4, 3, padding=1, bias=False)),
        ("nor_conv_3x3", "conv1", lambda: Standardised(4, 4, 3, padding=1)),
        ("sep_conv_3x3", "dw1", lambda: nn.Conv2d(4, 4, 3, padding=1, bias=False)),
        ("sep_conv_3x3", "dw2", lambda: DepthwiseConv2d(4, 3, dilation=2)),
        ("sep_conv_3x3", "pw1", lambda: nn.Conv2d(4, 4, 1, groups=4, bias=False)),
        ("sep_conv_3x3", "pw1", lambda: nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.Tanh())),
        ("dil_conv_3x3", "dw1", lambda: DepthwiseConv2d(4, 3, dilation=3)),
        ("dil_conv_3x3", "pw1", lambda: nn.Conv2d(4, 4, 1, bias=True)),
    ],
)
def test_another_convolution_in_an_operation_is_respected(
    make, operation, part, made, random_sample, assert_equal_paths
):
    net = make("nasbench201" if operation == "nor_conv_3x3" else "darts")
    setattr(net.cells[0].edges["2_0"][operation], part, made())
    assert_equal_paths(net, random_sample(net, 2), torch.randn(2, 3, 8, 8))


def sine_of(function, *inputs):
    return function(*inputs).sin()


def test_another_way_through_an_operation_is_respected(make, random_sample, assert_equal_paths):
    net = make("darts")
    for name in ("sep_conv_3x3", "max_pool_3x3"):
        operation = net.cells[0].edges["2_0"][name]
        operation.forward = partial(sine_of, type(operation).forward, operation)
    sample, images = random_sample(net, 2), torch.randn(2, 3, 8, 8)
    net.path = "reference"
    wanted = net(images, sample).logits
    net.path = "fused"
    torch.testing.assert_close(net(images, sample).logits, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_tensors_may_be_kept_in_another_layout(make, name, random_sample, run):
    net = make(name)
    sample, images = random_sample(net, 2), torch.randn(2, 3, 8, 8)
    plain = run(net, "fused", sample, images)
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda kept: kept.detach().clone(memory_format=torch.contiguous_format), lambda kept: kept
    )
    with hooks:
        again = run(net, "fused", sample, images)
    torch.testing.assert_close(again, plain, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_gates_of_single_precision_are_rounded_once(make, name, assert_equal_paths):
    net = make(name)
    shape = len(net.space.edges), len(net.space.operations)
    kinds = net.space.cell_types
    gates = {kind: torch.rand(shape, dtype=torch.float32) for kind in kinds}
    edges = {kind: torch.rand(shape[0], dtype=torch.float32) for kind in kinds}
    sample = GateSample(gates, None, edges)
    assert_equal_paths(net, sample, torch.randn(2, 3, 8, 8))


def test_of_another_kind_or_size_is_what_a_custom_operation_gives(
    make, random_sample, assert_equal_paths
):
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3), keepdim=True)

    net = make("nasbench201")
    for edges in (cell.edges for cell in net.cells if hasattr(cell, "edges")):
        edges["3_0"]["skip_connect"] = Mean()
    assert_equal_paths(net, random_sample(net, 2), torch.randn(2, 3, 8, 8))


def test_affine_normalisation_of_convolutions_takes_the_gate_too(
    make, random_sample, assert_equal_paths
):
    net = make("darts")
    for edge in net.cells[1].edges.values():
        for name in ("sep_conv_3x3", "dil_conv_5x5"):
            edge[name].bn1 = BatchNorm2d(8, affine=True)
            nn.init.normal_(edge[name].bn1.weight)
            nn.init.normal_(edge[name].bn1.bias)
    assert_equal_paths(net, random_sample(net, 4), torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_float32_paths_agree_to_rounding(make, name, random_sample):
    torch.set_default_dtype(torch.float32)
    net = make(name)
    sample = random_sample(net, 1)
    images = torch.randn(8, 3, 16, 16)
    wider = {kind: gates.double() for kind, gates in sample.gates.items()}
    for gates in (sample.gates, wider):
        with torch.no_grad():
            net.path = "fused"
            fused = net(images, gates).logits
            net.path = "reference"
            reference = net(images, gates).logits
        assert fused.dtype == torch.float32
        torch.testing.assert_close(fused, reference, rtol=1e-3, atol=1e-3)


def test_both_paths_have_one_state_dict_named_by_cell_edge_and_operation(make):
    net = make("darts")
    keys = set(net.state_dict())
    net.path = "reference"
    assert set(net.state_dict()) == keys
    assert "cells.2.edges.3_1.sep_conv_3x3.dw1.weight" in keys
    assert "cells.1.edges.2_0.skip_connect.conv1.weight" in keys
    assert "cells.0.edges.2_0.max_pool_3x3.bn.running_mean" in keys
    assert not any("none" in key or "num_batches" in key for key in keys)


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_second_derivatives_need_the_reference_path(make, name, random_sample):
    net = make(name)
    sample = random_sample(net, 1)
    (gates, *_) = sample.gates.values()
    loss = functional.mse_loss(net(torch.randn(2, 3, 8, 8), sample).logits, torch.zeros(2, 10))
    with pytest.raises(RuntimeError, match="path = 'reference'"):
        torch.autograd.grad(loss, gates, create_graph=True)
    with net.using("reference"):
        logits = net(torch.randn(2, 3, 8, 8), sample).logits
    (grad,) = torch.autograd.grad(logits.square().mean(), gates, create_graph=True)
    (second,) = torch.autograd.grad(grad.square().sum(), gates)
    assert second.any()
    assert net.path == "fused"
