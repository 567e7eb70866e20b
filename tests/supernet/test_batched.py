"""Edges batched as on a GPU: few launches, the numbers of one edge at a time."""

import pytest
import torch
from torch.nn import functional

from lnas.operations import plain_averages, statistics
from lnas.relaxations import GateSample
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.speed.launches import Launches
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet
from lnas.supernet.batched import batches_edges, edge_batching
from lnas.supernet.edge_sum import edge_sum


@pytest.fixture(params=["darts", "nasbench201"])
def net(request, scramble):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    if request.param == "darts":
        return scramble(ConvolutionalSupernet(DartsSpace(nodes=2), channels=4, layers=3))
    return scramble(NasBench201Supernet(NasBench201Space(), channels=4, cells=1))


def test_edges_are_batched_off_the_cpu_and_where_asked_for():
    cpu, device = torch.zeros(1), torch.zeros(1, device="meta")
    assert batches_edges(device)
    assert not batches_edges(cpu)
    with edge_batching(True):
        assert batches_edges(cpu)
        with edge_batching(False):
            assert not batches_edges(device)
        assert batches_edges(cpu)
    assert not batches_edges(cpu)


def test_plain_averages_are_those_of_the_reference_path(net, random_sample):
    sample, batches = random_sample(net, 2, masked=True), torch.randn(3, 2, 3, 8, 8)
    found = []
    for path in ("fused", "reference"):
        net.path = path
        with (
            edge_batching(True),
            torch.no_grad(),
            plain_averages(net),
            statistics(net, "update"),
        ):
            for batch in batches:
                net(batch, sample)
        found.append({key: value.clone() for key, value in net.named_buffers()})
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)


def test_sides_may_be_odd(net):
    cell = net.cells[0]
    shape = len(net.space.edges), len(net.space.operations)
    kind = net.space.cell_types[0]
    sample = GateSample({kind: torch.randn(shape).requires_grad_()})
    x = torch.randn(2, 12 if net.space.inputs == 2 else 4, 5, 7)
    results = []
    for path in ("fused", "reference"):
        with edge_batching(True):
            out = cell(*[x] * net.space.inputs, sample.cell(kind), path)
        results.append((out, torch.autograd.grad(out.square().sum(), sample.gates[kind])))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-10)


def test_what_does_not_reach_the_output_has_no_gradient(assert_equal_paths):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    net = NasBench201Supernet(NasBench201Space(), channels=4, cells=1)
    space, chosen = net.space, torch.zeros(6, 5)
    cell = {"1_0": "nor_conv_3x3", "2_0": "nor_conv_1x1", "3_0": "skip_connect"}
    cell |= {"2_1": "avg_pool_3x3", "3_1": "none", "3_2": "none"}
    for edge, name in cell.items():
        chosen[space.edge_row(edge), space.operation_column(name)] = 1
    sample = GateSample({"cell": chosen.requires_grad_()}, {"cell": chosen > 0})
    before = {name: value.clone() for name, value in net.named_buffers()}
    _, grads, buffers = assert_equal_paths(net, sample, torch.randn(2, 3, 8, 8))
    within = [name for name in grads if ".edges." in name]
    assert within
    assert all(grads[name] is None for name in within)
    assert not grads["gates.cell"][:, space.operation_column("nor_conv_3x3")].any()
    still = [name for name in buffers if ".edges." in name]
    assert all(torch.equal(buffers[name], before[name]) for name in still)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_operation_may_be_alone_in_its_cell(net, assert_equal_paths, layout):
    kinds = net.space.cell_types
    shape = len(net.space.edges), len(net.space.operations)
    gates = {kind: torch.randn(shape).requires_grad_() for kind in kinds}
    images = torch.randn(2, 3, 8, 8).contiguous(memory_format=layout)
    for column, name in enumerate(net.space.operations):
        if name != "none":
            active = torch.zeros(shape, dtype=torch.bool)
            active[0, column] = True
            assert_equal_paths(net, GateSample(gates, dict.fromkeys(kinds, active)), images)


def test_half_precision_is_as_near_to_full_as_one_edge_at_a_time(net, random_sample):
    net, images = net.float(), torch.randn(8, 3, 16, 16, dtype=torch.float32)
    gates = random_sample(net, 1).gates
    gates = {name: value.detach().float().requires_grad_() for name, value in gates.items()}

    def gradient(batched, half):
        with edge_batching(batched), torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = net(images, gates).logits.float().square().mean()
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(gates.values()))])

    exact = gradient(batched=False, half=False)
    torch.testing.assert_close(gradient(batched=True, half=False), exact, rtol=1e-3, atol=1e-4)
    errors = [(gradient(batched, half=True) - exact).norm() for batched in (False, True)]
    assert errors[1] < 1.5 * errors[0]
    assert errors[1] < 0.2 * exact.norm()


@pytest.mark.parametrize("batched", [False, True])
def test_a_network_of_half_precision_is_as_near_to_full_as_the_reference(
    net, random_sample, batched
):
    images, sample = torch.randn(8, 3, 16, 16), random_sample(net, 1)
    kinds = torch.float32, torch.bfloat16, torch.bfloat16
    found = []
    for kind, path in zip(kinds, ("reference", "reference", "fused"), strict=True):
        net.to(kind)
        gates = {name: gate.detach().to(kind) for name, gate in sample.gates.items()}
        with net.using(path), edge_batching(batched), torch.no_grad():
            found.append(net(images.to(kind), GateSample(gates, sample.active)).logits.float())
    exact, plain, fused = found
    assert (fused - exact).norm() < 1.5 * (plain - exact).norm()


@pytest.mark.parametrize("per_image", [False, True])
def test_edge_sum_has_the_gradients_of_the_plain_sum(per_image):
    torch.set_default_dtype(torch.float64)
    random = torch.Generator().manual_seed(0)

    def leaf(*shape):
        return torch.randn(shape, generator=random).requires_grad_()

    n, edges, c = 2, 3, 4
    plain = [leaf(n, edges * c, 2, 2) for _ in range(2)]
    shared = [leaf(n, c, 2, 2) for _ in range(2)]
    gates = [leaf(*([n] if per_image else []), edges) for _ in range(2)]
    for count in ((2, 2), (1, 1), (0, 2), (3, 0)):
        own = (plain * 2)[: count[0]], gates[: count[1]], shared[: count[1]]
        wide = [one.view(n, edges, c, 2, 2) for one in own[0]]
        wide += [
            gate.view(-1, edges, 1, 1, 1) * image[:, None]
            for gate, image in zip(*own[1:], strict=True)
        ]
        results = []
        for out in (edge_sum(edges, *own), sum(wide)):
            leaves = {id(x): x for group in own for x in group}
            loss = (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum()
            results.append((out, torch.autograd.grad(loss, list(leaves.values()))))
        torch.testing.assert_close(*results)


def test_second_derivatives_need_the_reference_path(net, random_sample):
    sample = random_sample(net, 1)
    (gates, *_) = sample.gates.values()
    with edge_batching(True):
        loss = net(torch.randn(2, 3, 8, 8), sample).logits.square().sum()
    with pytest.raises(RuntimeError, match="path = 'reference'"):
        torch.autograd.grad(loss, gates, create_graph=True)


def launches(net, role):
    """Count a step's pass forward and backward, on the smallest images: size changes no count."""
    net.requires_grad_(role == "weights")
    shape = len(net.space.edges), len(net.space.operations)
    gates = {name: torch.full(shape, 0.1) for name in net.space.cell_types}
    for value in gates.values():
        value.requires_grad_(role == "architecture")
    images, classes = torch.randn(2, 3, 8, 8), torch.zeros(2, dtype=torch.long)
    mode = "update" if role == "weights" else "batch"
    with edge_batching(True), statistics(net, mode), Launches() as counter:
        functional.cross_entropy(net(images, GateSample(gates)).logits, classes).backward()
    return counter


@pytest.mark.parametrize(
    ("name", "weights", "architecture"), [("darts", 3700, 3300), ("nasbench201", 1400, 1430)]
)
def test_a_pass_of_the_papers_networks_launches_few_kernels(name, weights, architecture):
    if name == "darts":
        net = ConvolutionalSupernet(DartsSpace(), channels=2, layers=8)
    else:
        net = NasBench201Supernet(NasBench201Space(), channels=2, cells=5)
    counted = launches(net, "weights")
    assert counted.count <= weights
    # The averages of all edges of a cell move together.
    assert counted.calls["_foreach_lerp_"] == len(net.cell_types_of_cells)
    assert launches(net, "architecture").count <= architecture
