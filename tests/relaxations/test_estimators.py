"""What the estimators of OneHot tell the logits, against enumeration and the released numbers."""

import itertools

import pytest
import torch
from torch.nn import functional

from lnas.errors import InputError
from lnas.operations import BatchNorm2d
from lnas.relaxations import CellGates, Draw, GateSample, OneHot
from lnas.relaxations.one_hot import rewarded
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
TYPES = ("normal", "reduce")
PATHS = ["fused", "reference"]


@pytest.fixture(autouse=True)
def _doubles(_plain_torch):
    torch.set_default_dtype(torch.float64)


def one_hot_gates(logits, chosen, limit=None):
    """Return DSNAS' gates of one edge table for a given choice, and its log-probabilities."""
    log_probability = (logits.log_softmax(-1) * chosen).sum(-1)
    return rewarded(chosen.bool(), log_probability, limit), log_probability


@pytest.mark.parametrize("path", PATHS)
def test_dsnas_moves_logits_and_weights_as_released(golden, path):
    case = golden("dsnas")
    setting, data = case.setting, case.data
    net = ConvolutionalSupernet(
        DartsSpace(setting["operations"]),
        setting["channels"],
        setting["layers"],
        setting["classes"],
    )
    assert not net.load_state_dict(case.part("param/"), strict=False).unexpected_keys
    net.path = path
    logits = {name: data[f"log_alpha_{name}"].clone().requires_grad_() for name in TYPES}
    gates, chances = {}, {}
    for name in TYPES:
        gates[name], chances[name] = one_hot_gates(logits[name], data[f"sample_{name}"])
        gates[name].retain_grad()
    active = {name: data[f"sample_{name}"].bool() for name in TYPES}
    scores = net(data["input"], GateSample(gates, active)).logits
    loss = functional.cross_entropy(scores, data["labels"])
    loss.backward()
    torch.testing.assert_close(scores, data["logits"], **CLOSE)
    torch.testing.assert_close(loss, data["loss"], **CLOSE)
    torch.testing.assert_close(sum(c.sum() for c in chances.values()), data["loss_alpha"], **CLOSE)
    for name in TYPES:
        torch.testing.assert_close(gates[name].grad, data[f"sample_grad_{name}"], **CLOSE)
        torch.testing.assert_close(gates[name].grad.sum(-1), data[f"reward_{name}"], **CLOSE)
        torch.testing.assert_close(logits[name].grad, data[f"grad_log_alpha_{name}"], **CLOSE)
    weights = dict(net.named_parameters())
    moved = {name for name, weight in weights.items() if weight.grad is not None}
    assert moved == set(data["parameters_with_gradient"].tolist())
    for name, grad in case.part("grad/").items():
        torch.testing.assert_close(weights[name].grad, grad, **CLOSE)


@pytest.mark.parametrize("path", PATHS)
def test_costs_of_the_last_cell_are_loss_minus_entropy_as_released(golden, path):
    case = golden("dsnas")
    for name, tolerance in (("eps1e-12", 1e-12), ("eps1e-5", 1e-6)):
        gates, loss, entropy, scores = last_cell(case, path, float(name.removeprefix("eps")))
        stored = case.part(f"minimal/{name}/")
        (slope,) = torch.autograd.grad(loss, gates)
        costs = (gates.detach() * slope).sum(-1)
        torch.testing.assert_close(scores, stored["logits"], **CLOSE)
        torch.testing.assert_close(costs, stored["edge_cost"], **CLOSE)
        torch.testing.assert_close(entropy, stored["entropy"], **CLOSE)
        assert float(costs.sum()) == pytest.approx(float((loss - entropy).detach()), abs=tolerance)


def last_cell(case, path, eps):
    """Return gates, loss, entropy and scores of the released example of a last cell."""
    weights, operations = case.part("minimal/"), dict(case.setting["minimal_cell_edges"])
    space = DartsSpace(nodes=2)
    channels = weights["state0"].shape[1]
    net = ConvolutionalSupernet(
        space, channels, 1, len(weights["classifier.weight"]), reductions=False
    )
    edges = net.cells[0].edges
    stored = {k: v for k, v in weights.items() if k[0] in "23" and "." in k}
    assert not edges.load_state_dict(stored, strict=False).unexpected_keys
    for layer in edges.modules():
        if isinstance(layer, BatchNorm2d):
            layer.eps = eps
    gates = torch.zeros(len(space.edges), len(space.operations))
    for row, edge in enumerate(space.edges):
        gates[row, space.operations.index(operations[edge.name])] = 1
    active = gates.bool()
    gates.requires_grad_()
    states = edges([weights["state0"], weights["state1"]], CellGates(gates, active), path)
    features = torch.cat(states[2:], 1).mean((2, 3))
    scores = features @ weights["classifier.weight"].T
    share = scores.softmax(-1)
    entropy = -(share * share.log()).sum(-1).mean()
    return gates, functional.cross_entropy(scores, weights["labels"].long()), entropy, scores


def expectation(logits, loss):
    """Return the mean of DSNAS' estimates over all choices, and the gradient of the mean loss."""
    edges, operations = logits.shape
    estimate, mean = torch.zeros_like(logits), 0.0
    p = logits.softmax(-1)
    for columns in itertools.product(range(operations), repeat=edges):
        chosen = functional.one_hot(torch.tensor(columns), operations).double()
        chance = (p * chosen).sum(-1).prod()
        leaf = logits.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(loss(one_hot_gates(leaf, chosen)[0]), leaf)
        torch.testing.assert_close(found.sum(-1), torch.zeros(edges))  # softmax: rows add up to 0
        estimate += chance.detach() * found
        mean = mean + chance * loss(chosen)
    return estimate, torch.autograd.grad(mean, logits)[0]


def test_dsnas_is_unbiased_for_linear_losses_and_biased_for_others():
    draw = torch.Generator().manual_seed(0)
    costs = torch.randn(2, 3, generator=draw)
    logits = torch.randn(2, 3, generator=draw).requires_grad_()
    estimate, exact = expectation(logits, lambda gates: (gates * costs).sum())
    torch.testing.assert_close(estimate, exact, rtol=0, atol=1e-14)
    assert exact.abs().max() > 0.05
    estimate, exact = expectation(logits, lambda gates: (gates * costs).sum().square())
    assert (estimate - exact).abs().max() > 0.01


def test_rewards_are_limited_one_by_one():
    logits = torch.zeros(3, 2, requires_grad=True)
    chosen = torch.tensor([[1.0, 0.0]] * 3)
    gates, _ = one_hot_gates(logits, chosen, limit=5.0)
    (found,) = torch.autograd.grad((gates * torch.tensor([[9.0], [-7.0], [2.0]])).sum(), logits)
    assert found[:, 0].tolist() == [2.5, -2.5, 1.0]  # (1 - 1/2) R


@pytest.mark.parametrize("estimator", ["dsnas", "proxyless"])
def test_choices_follow_the_softmax(estimator):
    logits = torch.tensor([1.0, 2.0, 3.0, 4.0]).log().expand(20_000, 4)
    mask = {"cell": torch.ones(20_000, 4, dtype=torch.bool)}
    sample = OneHot(estimator=estimator)({"cell": logits}, mask, Draw(seed=2, purpose="weights"))
    assert torch.equal(sample.active["cell"], sample.gates["cell"] == 1)
    expected = torch.tensor([0.1, 0.2, 0.3, 0.4])
    torch.testing.assert_close(sample.gates["cell"].mean(0), expected, atol=0.015, rtol=0)


def test_proxyless_draws_two_paths_and_one_of_them_runs():
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    rows = 100_000
    logits = {"cell": weights.log().expand(rows, 4)}
    mask = {"cell": torch.ones(rows, 4, dtype=torch.bool)}
    sample = OneHot(estimator="proxyless")(logits, mask, Draw(seed=3, purpose="architecture"))
    pair, gates = sample.active["cell"], sample.gates["cell"]
    assert (pair.sum(-1) == 2).all()
    assert (gates.sum(-1) == 1).all()
    assert not gates[~pair].any()
    for i, j in itertools.combinations(range(4), 2):
        both = pair[:, i] & pair[:, j]
        p, q = float(weights[i]), float(weights[j])
        assert float(both.double().mean()) == pytest.approx(
            p * q / (1 - p) + p * q / (1 - q), abs=0.01
        )
        assert float(gates[both][:, i].mean()) == pytest.approx(p / (p + q), abs=0.02)
    with pytest.raises(InputError, match="no random sample"):
        sample.log_prob()


def test_proxyless_moves_the_two_logits_against_each_other():
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(50, 5, generator=draw).requires_grad_()
    slopes = torch.randn(50, 5, generator=draw)
    mask = {"cell": torch.ones(50, 5, dtype=torch.bool)}
    sample = OneHot(estimator="proxyless")({"cell": logits}, mask, Draw(seed=4, purpose="joint"))
    (found,) = torch.autograd.grad((sample.gates["cell"] * slopes).sum(), logits)
    # Equation 4 of the paper over the two paths, entry by entry.
    expected = torch.zeros_like(found)
    for row in range(50):
        columns = sample.active["cell"][row].nonzero().flatten().tolist()
        q = logits.detach()[row, columns].softmax(-1)
        for a, i in enumerate(columns):
            for b, j in enumerate(columns):
                expected[row, i] += slopes[row, j] * q[b] * (float(i == j) - q[a])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("path", PATHS)
def test_the_path_beside_the_chosen_one_does_not_change_the_output(path):
    space = DartsSpace(("none", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"), nodes=2)
    torch.manual_seed(0)
    net = ConvolutionalSupernet(space, 4, 1, 3, reductions=False)
    net.path = path
    logits = {name: torch.randn(5, 4, requires_grad=True) for name in TYPES}
    mask = {name: torch.ones(5, 4, dtype=torch.bool) for name in TYPES}
    sample = OneHot(estimator="proxyless")(logits, mask, Draw(seed=5, purpose="architecture"))
    images = torch.randn(2, 3, 8, 8)
    alone = GateSample.child({name: gates.detach() for name, gates in sample.gates.items()})
    scores = net(images, sample).logits
    torch.testing.assert_close(scores, net(images, alone).logits)
    (found,) = torch.autograd.grad(scores.square().sum(), logits["normal"])
    assert (found != 0).any(-1).any()
    assert not found[~sample.active["normal"]].any()


@pytest.mark.parametrize("estimator", ["dsnas", "proxyless"])
def test_closed_operations_are_never_chosen(estimator):
    mask = torch.ones(1000, 4, dtype=torch.bool)
    mask[:, 1] = False
    mask[0] = False
    mask[1, 1:] = False  # a single operation is left
    logits = torch.randn(1000, 4, requires_grad=True)
    part = OneHot(estimator=estimator)
    sample = part({"cell": logits}, {"cell": mask}, Draw(seed=3, purpose="architecture"))
    assert not sample.active["cell"][~mask].any()
    assert sample.gates["cell"][1].tolist() == [1, 0, 0, 0]
    (found,) = torch.autograd.grad((sample.gates["cell"] * torch.randn(1000, 4)).sum(), logits)
    assert not found[~mask].any()
    assert not found[:2].any()  # nothing to choose between


def test_only_gdas_has_a_temperature_and_only_dsnas_a_reward():
    assert OneHot().annealable == ("temperature",)
    for estimator in ("dsnas", "proxyless"):
        assert OneHot(estimator=estimator).annealable == ()
    for wrong in ({"reward_limit": 5.0}, {"estimator": "dsnas", "reward_limit": 0.0}):
        with pytest.raises(InputError, match="reward"):
            OneHot(**wrong)


def test_the_logits_of_dsnas_start_at_one_as_released():
    draw = torch.Generator().manual_seed(0)
    logits = OneHot(estimator="dsnas").initial_logits(DartsSpace(), draw)["normal"]
    assert float(logits.mean()) == pytest.approx(1.0, abs=5e-3)
    assert float(logits.std()) == pytest.approx(0.01, rel=0.2)
