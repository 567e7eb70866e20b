import pytest
import torch

from lnas.errors import InputError
from lnas.relaxations import Draw, OneHot, Sigmoid
from lnas.relaxations.noise import gumbel, uniform
from lnas.spaces import NasBench201Space
from lnas.supernet import NasBench201Supernet


def test_one_operation_runs_and_the_softmax_gets_the_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    mask = {"cell": torch.ones(50, 5, dtype=torch.bool)}
    weights = torch.randn(50, 5, generator=generator, dtype=torch.float64)
    part = OneHot(temperature=2.0).double()
    sample = part({"cell": logits}, mask, Draw(seed=1))
    gates, active = sample.gates["cell"], sample.active["cell"]
    assert (active.sum(-1) == 1).all()
    torch.testing.assert_close(gates.detach(), active.double())
    (gradient,) = torch.autograd.grad((gates * weights).sum(), logits)
    # An independent form: the Jacobian of a softmax with the sampled noise, p (w - <p, w>) / T.
    noise = gumbel(uniform(logits.detach(), Draw(seed=1).shared("one_hot", "cell")))
    soft = ((logits.detach() + noise) / 2.0).softmax(-1)
    expected = soft * (weights - (soft * weights).sum(-1, keepdim=True)) / 2.0
    torch.testing.assert_close(gradient, expected)


def test_choices_follow_the_softmax_at_any_temperature():
    logits = torch.tensor([1.0, 2.0, 3.0, 4.0]).log().expand(20_000, 4)
    mask = {"cell": torch.ones(20_000, 4, dtype=torch.bool)}
    for temperature in (10.0, 0.1):
        active = OneHot(temperature)({"cell": logits}, mask, Draw(seed=2)).active["cell"]
        expected = torch.tensor([0.1, 0.2, 0.3, 0.4])
        torch.testing.assert_close(active.float().mean(0), expected, atol=0.015, rtol=0)


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_a_supernet_runs_what_is_chosen_and_what_did_not_run_tells_nothing(path):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    space = NasBench201Space()
    supernet = NasBench201Supernet(space, channels=2, cells=1)
    supernet.path = path
    logits = torch.randn(6, 5, requires_grad=True)
    mask = {"cell": torch.ones(6, 5, dtype=torch.bool)}
    sample = OneHot(temperature=3.0)({"cell": logits}, mask, Draw(seed=6))
    images = torch.randn(2, 3, 8, 8)
    loss = supernet(images, sample).logits.square().sum()
    (found,) = torch.autograd.grad(loss, logits)

    # A child of plain one-hot gates, and the slope of its loss along the chosen ones alone.
    chosen = sample.active["cell"].double().requires_grad_()
    alone = supernet(images, {"cell": chosen}).logits.square().sum()
    torch.testing.assert_close(loss, alone)
    (slopes,) = torch.autograd.grad(alone, chosen)
    noise = gumbel(uniform(logits.detach(), Draw(seed=6).shared("one_hot", "cell")))
    p = ((logits.detach() + noise) / 3.0).softmax(-1)
    along = slopes * sample.active["cell"]
    expected = p * (along - (p * along).sum(-1, keepdim=True)) / 3.0
    torch.testing.assert_close(found, expected)
    assert found.abs().max() > 1e-6


def test_the_log_probability_is_that_of_the_chosen_operations():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(200, 5, generator=draw) < 0.6
    mask[:, 2] = True
    mask[0] = False  # nothing to choose from is chosen for sure
    sample = OneHot()({"cell": logits}, {"cell": mask}, Draw(seed=4))
    found, chosen = sample.log_prob()["cell"], sample.active["cell"][1:].int().argmax(-1)
    candidates = logits.masked_fill(~mask, -torch.inf)[1:]
    expected = torch.distributions.Categorical(logits=candidates).log_prob(chosen)
    torch.testing.assert_close(found[1:], expected)
    assert found[0] == 0
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    torch.testing.assert_close(gradient[1:], torch.autograd.grad(expected.sum(), logits)[0][1:])
    assert not gradient[0].any()


def test_closed_operations_are_never_chosen():
    mask = torch.ones(1000, 4, dtype=torch.bool)
    mask[:, 1] = False
    mask[0] = False
    active = OneHot()({"cell": torch.zeros(1000, 4)}, {"cell": mask}, Draw(seed=3)).active["cell"]
    assert not active[:, 1].any()
    assert not active[0].any()


def test_unknown_estimators_and_temperatures_are_refused():
    with pytest.raises(InputError, match="estimator"):
        OneHot(estimator="magic")
    with pytest.raises(InputError, match="above 0"):
        OneHot(temperature=-1)


def test_sigmoid_gates_do_not_compete():
    logits = torch.zeros(2, 3, requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    gates = Sigmoid()({"cell": logits}, {"cell": mask}, Draw()).gates["cell"]
    assert gates.tolist() == [[0.5, 0.5, 0.0], [0.5, 0.5, 0.5]]
    (gradient,) = torch.autograd.grad(gates[1, 0], logits)
    assert gradient.tolist() == [[0.0, 0.0, 0.0], [0.25, 0.0, 0.0]]


def test_sigmoid_gates_and_their_gradient_are_the_logistic_functions():
    draw = torch.Generator().manual_seed(5)
    logits = torch.randn(14, 8, generator=draw, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(14, 8, generator=draw) < 0.7
    part = Sigmoid()
    gates = part({"cell": logits}, {"cell": mask}, Draw()).gates["cell"]
    expected = torch.where(mask, 1 / (1 + (-logits.detach()).exp()), 0.0)
    torch.testing.assert_close(gates.detach(), expected)
    (gradient,) = torch.autograd.grad(gates.sum(), logits)
    torch.testing.assert_close(gradient, expected * (1 - expected))
    assert torch.equal(part.probabilities({"cell": logits}, {"cell": mask})["cell"], gates)
