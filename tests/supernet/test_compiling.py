"""Compiled cells: who is compiled, what stays as it was, and that the numbers are the same."""

import copy

import pytest
import torch

from lnas.operations import statistics
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet
from lnas.supernet.compiling import CompiledCells

# torch's own, which it hides elsewhere.
OF_TORCH = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)


@pytest.fixture
def net():
    return ConvolutionalSupernet(DartsSpace(nodes=2), channels=4, layers=3)


@pytest.fixture
def compiled(net):
    found = copy.deepcopy(net)
    found.cell_call = CompiledCells()
    return found


@pytest.fixture
def compilations(monkeypatch):
    """What would have been compiled; nothing is."""
    found = []

    def compile_nothing(function, **options):
        found.append((function, options))
        return function

    monkeypatch.setattr(torch, "compile", compile_nothing)
    return found


def test_each_cell_is_compiled_once_and_has_code_of_its_own(compiled, compilations, random_sample):
    sample, images = random_sample(compiled, 1), torch.randn(2, 3, 8, 8)
    expected = copy.deepcopy(compiled)
    found = compiled(images, sample).logits
    compiled(images, sample)
    assert len({function.__code__ for function, _ in compilations}) == 3 == len(compilations)
    assert all(options["dynamic"] is False for _, options in compilations)
    torch.testing.assert_close(found, expected(images, sample).logits)


def test_passes_that_would_need_another_graph_are_left_alone(compiled, compilations, random_sample):
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        compiled(images, random_sample(compiled, 1))
    compiled(images, random_sample(compiled, 1, masked=True))
    compiled.path = "reference"
    compiled(images, random_sample(compiled, 1))
    assert not compilations


def test_names_are_as_ever_and_a_copy_compiles_its_own_cells(
    net, compiled, compilations, random_sample
):
    sample, images = random_sample(compiled, 1), torch.randn(2, 3, 8, 8)
    compiled(images, sample)
    assert list(compiled.state_dict()) == list(net.state_dict())
    copy.deepcopy(compiled)(images, sample)
    assert len(compilations) == 6


@OF_TORCH
@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_a_cell_is_one_graph(name, random_sample):
    net = (
        ConvolutionalSupernet(DartsSpace(nodes=1), channels=4, layers=1)
        if name == "darts"
        else NasBench201Supernet(NasBench201Space(), channels=4, cells=1)
    )
    net.cell_call = CompiledCells("eager")
    torch._dynamo.utils.counters.clear()
    for _ in range(2):
        net(torch.randn(2, 3, 8, 8), random_sample(net, 1)).logits.sum().backward()
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == len(net.cell_types_of_cells)
    assert not counters["graph_break"], dict(counters["graph_break"])


@OF_TORCH
@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True], ids=["weights", "architecture"])
def test_compiled_cells_have_the_gradients_and_averages_of_others(frozen, random_sample):
    operations = ("none", "max_pool_3x3", "skip_connect", "sep_conv_5x5", "dil_conv_3x3")
    space = DartsSpace(operations, nodes=1)
    net = ConvolutionalSupernet(space, channels=4, layers=1, reductions=frozen)
    compiled = copy.deepcopy(net)
    compiled.cell_call = CompiledCells()
    images, results = torch.randn(2, 3, 8, 8), []
    for one in (net, compiled):
        one.requires_grad_(not frozen)
        sample = random_sample(one, 1)
        for gates in sample.gates.values():
            gates.requires_grad_(frozen)
        with statistics(one, "batch" if frozen else "update"):
            one(images, sample).logits.square().sum().backward()
        leaves = {**dict(one.named_parameters()), **sample.gates}
        grads = {name: leaf.grad for name, leaf in leaves.items()}
        results.append((grads, dict(one.named_buffers())))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-10)
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] >= 1
    assert not counters["graph_break"], dict(counters["graph_break"])
