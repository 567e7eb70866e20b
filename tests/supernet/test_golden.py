"""Both paths compute what the authors' released codes compute (see the files' settings)."""

import pytest
import torch
from torch.nn import functional

from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
PATHS = ["fused", "reference"]


def load(net, case):
    missing = net.load_state_dict(case.part("param/"), strict=False)
    assert not missing.unexpected_keys
    assert all("running" in name for name in missing.missing_keys)


@pytest.fixture
def darts(golden):
    torch.set_default_dtype(torch.float64)
    case = golden("darts_supernet")
    setting = case.setting
    net = ConvolutionalSupernet(
        DartsSpace(), setting["channels"], setting["layers"], setting["classes"]
    )
    load(net, case)
    return net, case


@pytest.mark.parametrize("path", PATHS)
def test_darts_supernet(darts, path):
    net, case = darts
    net.path = path
    means = {}
    for index, cell in enumerate(net.cells):
        cell.register_forward_hook(
            lambda _, inputs, out, index=index: means.update({index: out.mean((2, 3))})
        )
    alphas = {
        name: case.data[f"alpha_{name}"].clone().requires_grad_() for name in ("normal", "reduce")
    }

    def forward():
        gates = {name: alpha.softmax(-1) for name, alpha in alphas.items()}
        return net(case.data["input"], gates).logits

    logits = forward()
    loss = functional.cross_entropy(logits, case.data["labels"])
    loss.backward()
    torch.testing.assert_close(logits, case.data["logits"], **CLOSE)
    torch.testing.assert_close(loss, case.data["loss"], **CLOSE)
    for name, alpha in alphas.items():
        torch.testing.assert_close(alpha.grad, case.data[f"grad_alpha_{name}"], **CLOSE)
    weights = dict(net.named_parameters())
    for name, grad in case.part("grad/").items():
        torch.testing.assert_close(weights[name].grad, grad, **CLOSE)
    trace = sum(weight.grad.square().sum() for weight in weights.values())
    torch.testing.assert_close(trace, case.data["grad_norm_squared_all_weights"], **CLOSE)
    for index, mean in case.part("cell_output_mean/").items():
        torch.testing.assert_close(means[int(index)], mean, **CLOSE)
    for name, value in case.part("after/").items():
        torch.testing.assert_close(net.state_dict()[name], value, **CLOSE)
    net.eval()
    expected = case.data["logits_eval_after_one_train_pass"]
    torch.testing.assert_close(forward(), expected, **CLOSE)


@pytest.mark.parametrize("path", PATHS)
def test_nasbench201_supernet(golden, path):
    torch.set_default_dtype(torch.float64)
    case = golden("nasbench201_supernet")
    setting = case.setting
    net = NasBench201Supernet(
        NasBench201Space(), setting["channels"], setting["cells_per_stage"], setting["classes"]
    )
    load(net, case)
    net.path = path
    features = []
    net.head.register_forward_hook(lambda _, inputs, out: features.append(out))
    alpha = case.data["alpha"].clone().requires_grad_()
    logits = net(case.data["input"], {"cell": alpha.softmax(-1)}).logits
    loss = functional.cross_entropy(logits, case.data["labels"])
    loss.backward()
    torch.testing.assert_close(features[0], case.data["features"], **CLOSE)
    torch.testing.assert_close(logits, case.data["logits"], **CLOSE)
    torch.testing.assert_close(loss, case.data["loss"], **CLOSE)
    torch.testing.assert_close(alpha.grad, case.data["grad_alpha"], **CLOSE)
    weights = dict(net.named_parameters())
    for name, grad in case.part("grad/").items():
        torch.testing.assert_close(weights[name].grad, grad, **CLOSE)
    net.eval()
    logits = net(case.data["input"], {"cell": alpha.softmax(-1)}).logits
    torch.testing.assert_close(logits, case.data["logits_eval_after_one_train_pass"], **CLOSE)


def test_released_parameter_counts():  # facts D1 to D3
    def count(module):
        return sum(weight.numel() for weight in module.parameters())

    net = ConvolutionalSupernet(DartsSpace())
    assert count(net) == 1_930_618
    assert (count(net.stem), count(net.classifier)) == (1_392, 2_570)
    cells = [45888, 46144, 144000, 137856, 139904, 484608, 460032, 468224]
    assert [count(cell) for cell in net.cells] == cells
    assert count(ConvolutionalSupernet(DartsSpace(), num_classes=100)) == 1_953_748
    assert count(NasBench201Supernet(NasBench201Space())) == 1_692_826


@pytest.mark.parametrize(
    ("nodes", "layers", "parameters"), [(4, 8, 372_464), (2, 8, 137_392), (2, 1, 19_088)]
)
def test_parents_of_the_wiring_study_have_their_sizes(nodes, layers, parameters):
    # Xie et al., AISTATS 2021: normal cells only, no bias in the classifier.
    net = ConvolutionalSupernet(
        DartsSpace(nodes=nodes), layers=layers, reductions=False, classifier_bias=False
    )
    assert set(net.cell_types_of_cells) == {"normal"}
    assert net.halvings == 0
    assert sum(weight.numel() for weight in net.parameters()) == parameters
    assert net.classifier.bias is None


def test_released_multiply_adds():  # fact D4; the smaller image keeps the test fast: all scale
    macs = []

    def add(module, inputs, out):
        side = 16 if out.dim() == 4 else 1  # pixels scale by 16, the classifier does not
        per_output = module.weight[0].numel()
        macs.append(out[0].numel() * per_output * side)

    net = ConvolutionalSupernet(DartsSpace())
    net.path = "reference"
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(add)
    gates = {name: torch.full((14, 8), 0.125) for name in ("normal", "reduce")}
    with torch.no_grad():
        net(torch.randn(2, 3, 8, 8), gates)
    assert sum(macs) == 300_255_744


@pytest.mark.parametrize("path", PATHS)
def test_released_cell_output_shapes(path):  # fact D13, at a quarter of the image
    net = ConvolutionalSupernet(DartsSpace())
    net.path = path
    shapes = []
    for cell in net.cells:
        cell.register_forward_hook(lambda _, inputs, out: shapes.append(tuple(out.shape[1:3])))
    gates = {name: torch.full((14, 8), 0.125) for name in ("normal", "reduce")}
    with torch.no_grad():
        net(torch.randn(2, 3, 8, 8), gates)
    assert shapes == [(64, 8)] * 2 + [(128, 4)] * 3 + [(256, 2)] * 3
